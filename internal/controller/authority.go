package controller

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// aboutCAKey is what the CA's private key is sealed as.
const aboutCAKey = "ca-key"

// sealKey returns the key that opens sealed secrets of the state; nil if this controller is of the first release and
// has none.
func (d dir) sealKey() ([]byte, error) {
	key, err := os.ReadFile(d.path("keys", "seal.key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	return key, nil
}

// A keyring opens the cluster's authority, with whose key certificates are issued. It remembers the last one, since
// every node of a cluster that powers on asks for a certificate. Its method may be called from any goroutine.
type keyring struct {
	dir dir

	mu     sync.Mutex
	sealed fleet.Secret // as the state had it
	last   *identity.Authority
}

func (k *keyring) authority(c fleet.Cluster) (*identity.Authority, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && bytes.Equal(k.sealed, c.CAKey) {
		return k.last, nil
	}
	key, err := k.dir.sealKey()
	if err != nil {
		return nil, err
	}
	plain, err := identity.Unseal(key, c.CAKey, aboutCAKey)
	if err != nil {
		return nil, err
	}
	opened, err := identity.ParseAuthority(c.CA, plain)
	if err != nil {
		return nil, err
	}
	k.sealed, k.last = c.CAKey, opened
	return opened, nil
}

// sealOnce seals the CA's key in the state of a cluster that the first release made: it had one controller, and once that
// leads and is upgraded, it does so. Until ctx ends it watches for that moment.
func (d dir) sealOnce(ctx context.Context, store *raftstore.Store, me string) error {
	return eachState(ctx, store.Wait, func(state fleet.State) error {
		cluster, _ := state.Cluster()
		if identity.IsSealed(cluster.CAKey) || state.Format() < 2 || len(cluster.Controllers) != 1 || store.Status().Leader != me {
			return nil
		}
		if err := d.seal(ctx, cluster, store, me); err != nil && ctx.Err() == nil {
			return fmt.Errorf("seal the authority's key: %w", err)
		}
		return nil
	})
}

// seal makes the seal key if there is none, and seals the CA's key with it.
func (d dir) seal(ctx context.Context, cluster fleet.Cluster, store *raftstore.Store, me string) error {
	key, err := d.sealKey()
	if err == nil && key == nil {
		key = identity.NewSealKey()
		err = d.write("keys/seal.key", key, 0o600)
	}
	if err != nil {
		return err
	}
	sealed, err := identity.Seal(key, cluster.CAKey, aboutCAKey)
	if err != nil {
		return err
	}
	_, err = store.Propose(ctx, fleet.Entry{
		Command: &fleet.SealCAKey{Sealed: sealed}, ID: newRequestID(), At: time.Now().UTC(), Who: "controller/" + me,
		Why: "the key of the authority is kept sealed from this release on",
	})
	return err
}

// newRequestID returns an id for an entry that this controller proposes.
func newRequestID() string { return identity.NewBootID() + identity.NewBootID() }

// renewEvery is how often a controller looks at its certificates. They are renewed at two thirds of their life.
const renewEvery = time.Hour

// A renewal keeps the certificates in a controller's directory valid. Any controller can issue them: it takes neither a
// leader nor a person.
type renewal struct {
	dir       dir
	self      self
	state     func() fleet.State
	authority func(fleet.Cluster) (*identity.Authority, error)
	logger    *slog.Logger
	now       func() time.Time
}

// run renews what is due, at once and then hourly, until ctx ends.
func (r *renewal) run(ctx context.Context) error {
	for {
		r.look()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(renewEvery):
		}
	}
}

// look renews what is due. A failure is logged and tried again: a third of the certificate's life is left for that.
func (r *renewal) look() {
	for _, c := range []struct {
		folder, name string
		subject      identity.Subject
		addresses    []netip.Addr
		life         time.Duration
	}{
		{"keys", "controller", r.self.subject(), []netip.Addr{r.self.Address}, identity.ControllerLife},
		{"admin", "admin", identity.OwnAdmin(), nil, identity.AdminLife},
	} {
		path := r.dir.path(c.folder, c.name+".crt")
		old, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a person took admin/ away
		}
		if err == nil && !dueAt(old).Before(r.now()) {
			continue
		}
		if err == nil {
			err = r.renew(c.folder, c.name, c.subject, c.addresses, c.life)
		}
		if err != nil {
			r.logger.Error("cannot renew a certificate; it is tried again within the hour", "file", path, "err", err)
			continue
		}
		r.logger.Info("renewed a certificate", "file", path, "subject", c.subject.String())
	}
}

// dueAt returns when a certificate is to be renewed; the zero time if it cannot be read.
func dueAt(certPEM []byte) time.Time {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return time.Time{}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) * 2 / 3)
}

// renew issues a certificate for the key that is there.
func (r *renewal) renew(folder, name string, subject identity.Subject, addresses []netip.Addr, life time.Duration) error {
	cluster, ok := r.state().Cluster()
	if !ok {
		return fmt.Errorf("cluster: %w", fleet.ErrNotFound)
	}
	keyPEM, err := r.dir.read(folder, name+".key")
	if err != nil {
		return err
	}
	key, err := identity.ParseKey(keyPEM)
	if err != nil {
		return err
	}
	authority, err := r.authority(cluster)
	if err != nil {
		return err
	}
	cert, err := authority.Issue(subject, key.Public(), addresses, r.now(), life)
	if err != nil {
		return err
	}
	return r.dir.write(folder+"/"+name+".crt", cert, 0o644)
}
