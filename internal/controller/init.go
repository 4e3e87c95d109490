package controller

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
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
	cluster, err := newCluster(o, time.Now())
	if err != nil {
		return err
	}
	first := fleet.Entry{Command: &fleet.InitCluster{Cluster: cluster, Networks: o.Networks}, At: time.Now().UTC(), Who: "samara init"}
	if _, err := (fleet.State{}).Apply(first, 1); err != nil {
		return err
	}
	d := dir(o.Dir)
	if d.initialised() {
		return fmt.Errorf("controller in %s: %w; to start over, stop it and remove that directory", d, fleet.ErrExists)
	}
	err = os.MkdirAll(o.Dir, 0o700)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("make the controller's directory: %w; run as root", err)
	}
	if err != nil {
		return fmt.Errorf("make the controller's directory: %w", err)
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.clearHalfDone(); err != nil {
		return err
	}
	if err := d.issueKeys(cluster, o); err != nil {
		return err
	}
	if err := d.firstEntry(ctx, o, first); err != nil {
		return fmt.Errorf("write the cluster's first entry: %w", err)
	}
	me, err := json.MarshalIndent(self{ID: o.ID, Cluster: o.Cluster, ClusterID: cluster.ID, Address: o.Address, Ports: o.Ports}, "", "  ")
	if err != nil {
		return err
	}
	return d.write("controller.json", append(me, '\n'), 0o600)
}

// newCluster makes a cluster with fresh secrets.
func newCluster(o InitOptions, now time.Time) (fleet.Cluster, error) {
	if err := fleet.CheckName("cluster", o.Cluster); err != nil {
		return fleet.Cluster{}, err
	}
	ca, caKey, err := identity.NewAuthority(o.Cluster, now)
	if err != nil {
		return fleet.Cluster{}, err
	}
	key := func() fleet.Secret {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails since Go 1.24
		return b
	}
	return fleet.Cluster{
		Name: o.Cluster, ID: identity.NewBootID() + identity.NewBootID(),
		CA: ca, CAKey: caKey, MeshKey: key(), TokenKey: key(), IDKey: key(),
		AuthorizedKeys: o.AuthorizedKeys,
		Controllers:    []fleet.Controller{{ID: o.ID, Address: o.Address, Ports: o.Ports}},
	}, nil
}

// clearHalfDone removes what an interrupted Init left, and refuses a directory that holds anything else.
func (d dir) clearHalfDone() error {
	ours := []string{"keys", "admin", "raft", "blobs", "lock"}
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return fmt.Errorf("look into %s: %w", d, err)
	}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) && !strings.HasSuffix(e.Name(), ".new") {
			return fmt.Errorf("%w directory %s: it holds %s, which is not a controller's; name an empty one with --dir", fleet.ErrInvalid, d, e.Name())
		}
	}
	for _, name := range []string{"keys", "admin", "raft", "controller.json.new"} {
		if err := os.RemoveAll(d.path(name)); err != nil {
			return fmt.Errorf("remove what an interrupted init left: %w", err)
		}
	}
	return nil
}

// issueKeys writes the controller's own certificate, and one for the person who administers the cluster.
func (d dir) issueKeys(c fleet.Cluster, o InitOptions) error {
	authority, err := identity.ParseAuthority(c.CA, c.CAKey)
	if err != nil {
		return err
	}
	issue := func(folder, name string, subject identity.Subject, addresses []netip.Addr, life time.Duration) error {
		key, keyPEM, err := identity.NewKey()
		if err != nil {
			return err
		}
		cert, err := authority.Issue(subject, key.Public(), addresses, time.Now(), life)
		if err != nil {
			return err
		}
		return errors.Join(
			d.write(folder+"/ca.crt", c.CA, 0o644),
			d.write(folder+"/"+name+".crt", cert, 0o644),
			d.write(folder+"/"+name+".key", keyPEM, 0o600))
	}
	return errors.Join(
		issue("keys", "controller", identity.Subject{Role: identity.RoleController, Name: o.ID}, []netip.Addr{o.Address}, identity.ControllerLife),
		issue("admin", "admin", identity.Subject{Role: identity.RoleAdmin, Name: "admin"}, nil, identity.AdminLife))
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
