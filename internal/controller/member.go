package controller

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// controllersOnly refuses peers of the log that are not controllers, or are none any more. A replica that has no state
// yet cannot tell the latter.
func controllersOnly(s tls.ConnectionState, replica *raftstore.Store) error {
	who, err := identity.PeerSubject(&s)
	if err != nil {
		return err
	}
	if who.Role != identity.RoleController {
		return fmt.Errorf("%w: %s is not a controller", identity.ErrNotTrusted, who)
	}
	if replica == nil {
		return nil
	}
	cluster, ok := replica.State().Cluster()
	if !ok {
		return nil
	}
	member, listed := cluster.Controller(who.Name)
	if !listed {
		return fmt.Errorf("%w: controller %s is not one of this cluster's, or not any more", identity.ErrNotTrusted, who.Name)
	}
	return sameController(s.PeerCertificates[0], member)
}

// sameController refuses a certificate that has the name of a controller, but not its key. Who was removed, or was lost
// when the others recovered without it, keeps its certificate and a log of its own; its name may be another's by now.
func sameController(c *x509.Certificate, member fleet.Controller) error {
	if !member.Key.IsZero() && member.Key != keyOf(c) {
		return fmt.Errorf("%w: another controller is called %s now", identity.ErrNotTrusted, member.ID)
	}
	return nil
}

// keyOf returns what the state knows of the key that a certificate is for.
func keyOf(c *x509.Certificate) fleet.Digest { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// genuine returns a check of the certificates of controllers that this one calls. One that is removed is called until the
// log says so, but never one that has only the name of another.
func genuine(replica *atomic.Pointer[raftstore.Store]) func(*x509.Certificate) error {
	return func(c *x509.Certificate) error {
		who, err := identity.CertSubject(c)
		store := replica.Load()
		if err != nil || store == nil {
			return err
		}
		cluster, _ := store.State().Cluster()
		member, _ := cluster.Controller(who.Name)
		return sameController(c, member)
	}
}

// dialling returns the TLS settings with which this controller calls others for the log.
func (k *core) dialling() *tls.Config {
	config := identity.ClientConfig(k.pin, k.certificate, nil, time.Now)
	trusted := config.VerifyConnection
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if err := trusted(s); err != nil {
			return err
		}
		return k.peer.genuine(s.PeerCertificates[0])
	}
	return config
}

// How long a controller waits for its cluster.
const (
	lookAgain    = time.Second      // whether a leader sends anything
	sayWaiting   = 10 * time.Second // between two lines of the log that say that it waits
	removedAfter = 5 * time.Second  // without a leader, one that the state does not list has been removed
	disowned     = 10 * time.Second // without a leader, while all who answer say that it was removed: they are right
)

// cluster waits until the replica's state lists this controller. One that has just joined is first sent what was before
// it joined. The error says that the controller was removed, or that the replica is another cluster's.
func (k *core) cluster(ctx context.Context) (fleet.Cluster, error) {
	said, led := time.Now(), time.Now()
	for seen := fleet.Revision(0); ; {
		state := k.store.State()
		cluster, ok := state.Cluster()
		switch now := time.Now(); {
		case ok && cluster.ID != k.self.ClusterID:
			return cluster, fmt.Errorf("%s holds the data of another cluster, %s, than controller.json says (%s); move raft/ away and join this controller again", k.Dir, cluster.Name, k.self.Cluster)
		case ok && k.listed(state) == nil:
			return cluster, nil
		case !ok || !k.store.Status().Removed:
			led = now
		case now.Sub(led) >= removedAfter:
			return cluster, k.listed(state)
		}
		if time.Since(said) >= sayWaiting {
			said = time.Now()
			k.Logger.Info("waiting for the leader to send the cluster's state: are the other controllers up, and does samara controller list there show this one?", "controller", k.self.ID)
		}
		limit, cancel := context.WithTimeout(ctx, lookAgain)
		state, err := k.store.Wait(limit, seen)
		cancel()
		switch {
		case err == nil:
			seen = state.Revision()
		case !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
			return fleet.Cluster{}, err
		}
	}
}

// listed reports that this controller is not one of its cluster's: it was removed, or has not joined yet in that state.
// An earlier one of its name had another key.
func (k *core) listed(state fleet.State) error {
	cluster, _ := state.Cluster()
	member, ok := cluster.Controller(k.self.ID)
	if ok && (member.Key.IsZero() || member.Key == k.key) {
		return nil
	}
	return fmt.Errorf("controller %s was removed from cluster %s; to bring it back, move %s away and join it again (samara controller token, samara controller join)", k.self.ID, k.self.Cluster, k.Dir)
}

// untilRemoved returns the reason when this controller is removed from its cluster, or nil when ctx ends.
func (k *core) untilRemoved(ctx context.Context) error {
	return eachState(ctx, k.store.Wait, k.listed)
}

// untilDisowned returns the reason when this controller has been removed without being told by the log: that may come
// before the last entry has reached it. It returns nil when ctx ends.
func (k *core) untilDisowned(ctx context.Context, others *neighbours) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for owned := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		why := others.disown()
		switch {
		case why == nil || k.store.Status().Leader != "":
			owned = time.Now()
		case time.Since(owned) >= disowned:
			return fmt.Errorf("controller %s was removed from cluster %s (%w); to bring it back, move %s away and join it again (samara controller token, samara controller join)", k.self.ID, k.self.Cluster, why, k.Dir)
		}
	}
}
