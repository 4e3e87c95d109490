package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// A controller is a store and what it needs to speak with the others.
type controller struct {
	id      string
	dir     string
	address netip.AddrPort
	peer    raftstore.Peer // nil: none

	store  *raftstore.Store
	cancel context.CancelFunc
	done   chan error // what Run returned
}

const (
	caFile   = "ca.pem"
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// newControllers gives directories below dir and addresses on loopback to controllers, and makes their certificates.
func newControllers(dir string, n int) ([]*controller, error) {
	ca, caKey, err := identity.NewAuthority("bench", time.Now())
	if err != nil {
		return nil, err
	}
	authority, err := identity.ParseAuthority(ca, caKey)
	if err != nil {
		return nil, err
	}
	var all []*controller
	for i := range n {
		c := &controller{id: fmt.Sprintf("c%d", i+1)}
		c.dir = filepath.Join(dir, c.id)
		host := netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)})
		if c.address, err = freePort(host); err != nil {
			return nil, err
		}
		key, keyPEM, err := identity.NewKey()
		if err != nil {
			return nil, err
		}
		cert, err := authority.Issue(identity.Subject{Role: identity.RoleController, Name: c.id}, key.Public(), []netip.Addr{host}, time.Now(), time.Hour)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return nil, err
		}
		for name, b := range map[string][]byte{caFile: ca, certFile: cert, keyFile: keyPEM} {
			if err := os.WriteFile(filepath.Join(c.dir, name), b, 0o600); err != nil {
				return nil, err
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// freePort returns an address that was free a moment ago.
func freePort(host netip.Addr) (netip.AddrPort, error) {
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.MustParseAddrPort(l.Addr().String()), l.Close()
}

// stream listens at c's address.
func (c *controller) stream() (*raftstore.Stream, error) {
	ca, err := os.ReadFile(filepath.Join(c.dir, caFile))
	if err != nil {
		return nil, err
	}
	pin, err := identity.Pin(ca)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, certFile), filepath.Join(c.dir, keyFile))
	if err != nil {
		return nil, err
	}
	certificate := func() (*tls.Certificate, error) { return &pair, nil }
	server, err := identity.ServerConfig(ca, certificate, []string{raftstore.ALPN})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.address.String())
	if err != nil {
		return nil, err
	}
	return raftstore.NewStream(handshaker{l, server}, l.Addr(), identity.ClientConfig(pin, certificate, nil, time.Now), func(s tls.ConnectionState) error {
		subject, err := identity.PeerSubject(&s)
		if err == nil && subject.Role != identity.RoleController {
			err = errors.New("not a controller")
		}
		return err
	}), nil
}

// A handshaker delivers connections whose handshake is done, as the control port does.
type handshaker struct {
	net.Listener
	config *tls.Config
}

func (h handshaker) Accept() (net.Conn, error) {
	for {
		c, err := h.Listener.Accept()
		if err != nil {
			return nil, err
		}
		t := tls.Server(c, h.config)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = t.HandshakeContext(ctx)
		cancel()
		if err == nil {
			return t, nil
		}
		_ = c.Close()
	}
}

// start opens c's store, with all settings as samara serve has them, and runs it.
func (c *controller) start() error {
	stream, err := c.stream()
	if err != nil {
		return err
	}
	c.store, err = raftstore.Open(raftstore.Config{
		Dir: filepath.Join(c.dir, "raft"), ID: c.id, Address: c.address.String(), Stream: stream, Peer: c.peer,
		StewardInterval: 50 * time.Millisecond, StableFor: 50 * time.Millisecond, // so that the voters are soon there
	})
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.done = make(chan error, 1)
	go func() { c.done <- c.store.Run(ctx) }()
	return nil
}

func (c *controller) stop() error {
	if c.cancel == nil {
		return nil
	}
	c.cancel()
	return <-c.done
}

// A group is controllers in this process, who ask each other without a network.
type group []*controller

// Propose implements raftstore.Peer.
func (g group) Propose(ctx context.Context, address string, entry []byte) (fleet.Revision, error) {
	s, err := g.at(address)
	if err != nil {
		return 0, err
	}
	return s.ProposeEncoded(ctx, bytes.Clone(entry))
}

// ReadIndex implements raftstore.Peer.
func (g group) ReadIndex(ctx context.Context, address string, c raftstore.Consistency) (fleet.Revision, error) {
	s, err := g.at(address)
	if err != nil {
		return 0, err
	}
	return s.ReadIndex(ctx, c)
}

// Stats implements raftstore.Peer.
func (g group) Stats(_ context.Context, address string) (raftstore.Stats, error) {
	s, err := g.at(address)
	if err != nil {
		return raftstore.Stats{}, err
	}
	return s.Stats(), nil
}

func (g group) at(address string) (*raftstore.Store, error) {
	for _, c := range g {
		if c.address.String() == address && c.store != nil {
			return c.store, nil
		}
	}
	return nil, fmt.Errorf("%s: nobody there", address)
}

// startGroup starts n controllers of one cluster and waits until all of them vote.
func startGroup(ctx context.Context, dir string, n int) (group, error) {
	all, err := newControllers(dir, n)
	if err != nil {
		return nil, err
	}
	g := group(all)
	for _, c := range slices.Backward(g) { // the first asks the others
		c.peer = g
		if err := c.start(); err != nil {
			return nil, errors.Join(err, g.stop())
		}
	}
	if err := g.found(ctx); err != nil {
		return nil, errors.Join(err, g.stop())
	}
	return g, nil
}

// found makes the cluster.
func (g group) found(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	first := g[0].store
	if err := first.Bootstrap(); err != nil {
		return err
	}
	if _, err := first.Propose(ctx, entry(initCluster(g))); err != nil {
		return err
	}
	for state := first.State(); ; {
		voters := 0
		for _, m := range first.Members() {
			if m.Voter {
				voters++
			}
		}
		if voters == len(g) {
			return nil
		}
		var err error
		if state, err = first.Wait(ctx, state.Revision()); err != nil { // each change of the voters is a revision
			return fmt.Errorf("%d of %d controllers vote: %w", voters, len(g), err)
		}
	}
}

// leader returns the controller that leads.
func (g group) leader(ctx context.Context) (*controller, error) {
	if err := g[0].store.WaitLeader(ctx); err != nil {
		return nil, err
	}
	for _, c := range g {
		if c.id == g[0].store.Status().Leader {
			return c, nil
		}
	}
	return nil, errors.New("no leader")
}

// stop stops all at once: who is stopped first would hand over leadership to the next.
func (g group) stop() error {
	var wg sync.WaitGroup
	errs := make([]error, len(g))
	for i, c := range g {
		wg.Go(func() { errs[i] = c.stop() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
