package controller

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// InitOptions say what the first controller of a new cluster is to be.
type InitOptions struct {
	Dir            string     // of the controller; made if absent
	Cluster        string     // its name
	ID             string     // the controller's name
	Address        netip.Addr // where nodes and other controllers will reach it
	Ports          fleet.Ports
	Networks       []fleet.Network
	AuthorizedKeys []string // root's, on every node
}

// initTimeout bounds how long a new log may take to elect its only voter and commit its first entry.
const initTimeout = time.Minute

// Init makes the first controller of a new cluster in o.Dir: its authority, keys, and a log whose first entry is the
// cluster. It needs no running controller. Options that are refused change nothing on disk; an Init that was
// interrupted is begun anew by the next. The error wraps fleet.ErrExists if o.Dir holds a controller already.
func Init(ctx context.Context, o InitOptions) error {
	sealKey := identity.NewSealKey()
	key, err := newKeyPair()
	if err != nil {
		return err
	}
	cluster, authority, err := newCluster(o, sealKey, key, time.Now())
	if err != nil {
		return err
	}
	first := fleet.Entry{Command: &fleet.InitCluster{Cluster: cluster, Networks: o.Networks}, At: time.Now().UTC(), Who: "samara init"}
	if _, err := (fleet.State{}).Apply(first, 1); err != nil {
		return err
	}
	d := dir(o.Dir)
	if d.initialised() {
		return d.errTaken()
	}
	if err := makeDir(o.Dir); err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.clearHalfDone(); err != nil {
		return err
	}
	me := self{ID: o.ID, Cluster: o.Cluster, ClusterID: cluster.ID, Address: o.Address, Ports: o.Ports}
	if err := d.issueKeys(authority, cluster.CA, sealKey, key, me); err != nil {
		return err
	}
	if err := d.firstEntry(ctx, o, first); err != nil {
		return fmt.Errorf("write the cluster's first entry: %w", err)
	}
	return d.writeSelf(me)
}

// newCluster makes a cluster with fresh secrets, and its authority.
func newCluster(o InitOptions, sealKey []byte, own keyPair, now time.Time) (fleet.Cluster, *identity.Authority, error) {
	if err := fleet.CheckName("cluster", o.Cluster); err != nil {
		return fleet.Cluster{}, nil, err
	}
	ca, caKey, err := identity.NewAuthority(o.Cluster, now)
	if err != nil {
		return fleet.Cluster{}, nil, err
	}
	authority, err := identity.ParseAuthority(ca, caKey)
	if err != nil {
		return fleet.Cluster{}, nil, err
	}
	sealed, err := identity.Seal(sealKey, caKey, aboutCAKey)
	if err != nil {
		return fleet.Cluster{}, nil, err
	}
	secret := func() fleet.Secret {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails since Go 1.24
		return b
	}
	return fleet.Cluster{
		Name: o.Cluster, ID: identity.NewBootID() + identity.NewBootID(), Format: fleet.Format,
		CA: ca, CAKey: sealed, MeshKey: secret(), TokenKey: secret(), IDKey: secret(),
		AuthorizedKeys: o.AuthorizedKeys,
		Controllers:    []fleet.Controller{{ID: o.ID, Address: o.Address, Ports: o.Ports, Key: own.digest}},
	}, authority, nil
}

// clearHalfDone removes what an interrupted Init, Join or Restore left, and refuses a directory that holds anything
// else.
func (d dir) clearHalfDone() error {
	if err := d.checkOurs(); err != nil {
		return err
	}
	for _, name := range []string{"keys", "admin", "raft", "controller.json.new"} {
		if err := os.RemoveAll(d.path(name)); err != nil {
			return fmt.Errorf("remove what was left half done: %w", err)
		}
	}
	return nil
}

// A keyPair is a fresh private key. The others know a controller by it.
type keyPair struct {
	public crypto.PublicKey
	pem    []byte
	digest fleet.Digest // of the public key, as the state has it
}

func newKeyPair() (keyPair, error) {
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		return keyPair{}, err
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		return keyPair{}, err
	}
	digest, err := identity.KeyDigest(csr)
	return keyPair{key.Public(), keyPEM, digest}, err
}

// issueKeys writes the controller's own certificate, one for the person who administers the cluster, and the seal key.
func (d dir) issueKeys(authority *identity.Authority, ca, sealKey []byte, own keyPair, me self) error {
	admin, err := newKeyPair()
	if err != nil {
		return err
	}
	issue := func(folder, name string, key keyPair, subject identity.Subject, addresses []netip.Addr, life time.Duration) error {
		cert, err := authority.Issue(subject, key.public, addresses, time.Now(), life)
		if err != nil {
			return err
		}
		return errors.Join(
			d.write(folder+"/ca.crt", ca, 0o644),
			d.write(folder+"/"+name+".crt", cert, 0o644),
			d.write(folder+"/"+name+".key", key.pem, 0o600))
	}
	return errors.Join(
		d.write("keys/seal.key", sealKey, 0o600),
		issue("keys", "controller", own, me.subject(), []netip.Addr{me.Address}, identity.ControllerLife),
		issue("admin", "admin", admin, identity.OwnAdmin(), nil, identity.AdminLife))
}

// firstEntry makes the log and commits its first entry, then closes the log again.
func (d dir) firstEntry(ctx context.Context, o InitOptions, first fleet.Entry) (err error) {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	// Nobody else belongs to the group yet, so that its transport talks to nobody: any port will do.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	advertised := net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Address, o.Ports.Control))
	store, err := raftstore.Open(raftstore.Config{
		Dir: d.path("raft"), ID: o.ID, Address: controlAddress(o.Address, o.Ports),
		Stream: raftstore.NewStream(l, advertised, &tls.Config{}, func(tls.ConnectionState) error { return errors.New("no peer is expected") }),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- store.Run(running) }()
	defer func() {
		stop()
		if e := <-ended; err == nil {
			err = e
		}
	}()
	if err := store.Bootstrap(); err != nil {
		return err
	}
	if err := store.WaitLeader(ctx); err != nil {
		return err
	}
	_, err = store.Propose(ctx, first)
	return err
}

func controlAddress(a netip.Addr, p fleet.Ports) string {
	return netip.AddrPortFrom(a, p.Control).String()
}
