package raftstore

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A board connects the stores of a group, as the control port does. Its lines can fail.
type board struct {
	mu     sync.Mutex
	stores map[string]*Store // by address
	cut    map[string]bool   // who is reached by nobody and reaches nobody
	lose   int               // answers to proposals to lose
	calls  int               // proposals forwarded
}

var errCut = errors.New("no route to host")

func newBoard() *board { return &board{stores: map[string]*Store{}, cut: map[string]bool{}} }

func (b *board) addAll(g *group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, r := range g.stores {
		b.stores[g.addrs[id]] = r.Store
	}
}

func (b *board) setCut(address string, cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut[address] = cut
}

// loseAnswers makes the answers to the next n forwarded proposals get lost.
func (b *board) loseAnswers(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose, b.calls = n, 0
}

func (b *board) forwarded() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// peer returns the Peer of the controller at that address.
func (b *board) peer(address string) Peer { return line{b, address} }

type line struct {
	*board
	from string
}

func (l line) store(address string) (*Store, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stores[address]
	if s == nil || l.cut[address] || l.cut[l.from] {
		return nil, errCut
	}
	return s, nil
}

func (l line) Propose(ctx context.Context, address string, entry []byte) (fleet.Revision, error) {
	s, err := l.store(address)
	if err != nil {
		return 0, err
	}
	rev, err := s.ProposeEncoded(ctx, bytes.Clone(entry))
	if _, cut := l.store(address); cut != nil {
		return 0, cut
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.lose > 0 {
		l.lose--
		return 0, errors.New("connection reset by peer")
	}
	return rev, err
}

func (l line) ReadIndex(ctx context.Context, address string, c Consistency) (fleet.Revision, error) {
	s, err := l.store(address)
	if err != nil {
		return 0, err
	}
	return s.ReadIndex(ctx, c)
}

func (l line) Stats(_ context.Context, address string) (Stats, error) {
	s, err := l.store(address)
	if err != nil {
		return Stats{}, err
	}
	return s.Stats(), nil
}

// fastElections is fast, as a change.
func fastElections(c *Config) { *c = fast(*c) }

// newWiredGroup starts controllers that ask each other, in a cluster of format 2.
func newWiredGroup(t *testing.T, n int) (*group, *board) {
	t.Helper()
	b := newBoard()
	g := newGroup(t, n, func(c *Config) {
		fastElections(c)
		c.Peer = b.peer(c.Address)
	})
	b.addAll(g)
	g.agree(initCluster(t, g.leader().Store, 2, g.addrs))
	return g, b
}

// initCluster proposes the first command of a cluster with controllers at those addresses.
func initCluster(t *testing.T, s *Store, format int, addresses map[string]string) fleet.Revision {
	t.Helper()
	rev, err := s.Propose(testContext(t), fleet.Entry{Command: clusterCommand(format, addresses), At: time.Now(), Who: "test"})
	if err != nil {
		t.Fatalf("init: %v", err)
	}
	return rev
}

func clusterCommand(format int, addresses map[string]string) fleet.Command {
	key := bytes.Repeat([]byte{7}, 32)
	c := fleet.Cluster{Name: "lab", ID: "0123", CA: []byte("ca"), CAKey: fleet.Secret("key"), MeshKey: key, TokenKey: key, IDKey: key, Format: format}
	for id, address := range addresses {
		at := netip.MustParseAddrPort(address)
		ports := fleet.DefaultPorts
		ports.Control = at.Port()
		c.Controllers = append(c.Controllers, fleet.Controller{ID: id, Address: at.Addr(), Ports: ports})
	}
	return fleet.InitCluster{Cluster: c}
}
