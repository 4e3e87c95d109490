package controller

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/raftstore"
)

// How controllers watch each other.
const (
	greetEvery   = 500 * time.Millisecond // between two hellos
	greetTimeout = time.Second
	aliveWithin  = 2500 * time.Millisecond // of its last answer, a controller counts as alive
	askPause     = 500 * time.Millisecond  // between two questions for observations, at least
	maxSkew      = 5 * time.Second         // between two controllers' clocks before a person is told
)

// neighbours are the other controllers of the cluster, as this one sees them. What they say of themselves is asked
// for directly, twice a second: whoever answers is alive. Methods may be called from any goroutine.
type neighbours struct {
	self   self
	state  func() fleet.State
	dial   func(c fleet.Controller) *api.PeerClient
	learn  func(from string, o api.Observations) // is told what another controller observed
	logger *slog.Logger

	mu   sync.Mutex
	byID map[string]*fellow
}

// A fellow is one other controller. Its controller and client never change; the rest is guarded by neighbours.mu.
type fellow struct {
	controller fleet.Controller
	client     *api.PeerClient
	end        context.CancelFunc

	hello api.Hello     // its last answer
	heard time.Time     // when that came; zero if it never answered
	skew  time.Duration // how far its clock is ahead of ours
	err   error         // why it did not answer last; nil if it did
}

func newNeighbours(me self, state func() fleet.State, dial func(fleet.Controller) *api.PeerClient, learn func(string, api.Observations), logger *slog.Logger) *neighbours {
	return &neighbours{self: me, state: state, dial: dial, learn: learn, logger: logger, byID: map[string]*fellow{}}
}

// run watches whoever the state says is a controller, until ctx ends.
func (n *neighbours) run(ctx context.Context, wait func(context.Context, fleet.Revision) (fleet.State, error)) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	defer n.follow(nil, nil)
	return eachState(ctx, wait, func(state fleet.State) error {
		cluster, _ := state.Cluster()
		n.follow(cluster.Controllers, func(b *fellow) {
			watch, end := context.WithCancel(ctx)
			b.end = end
			watching.Go(func() { n.greet(watch, b) })
			watching.Go(func() { n.ask(watch, b) })
		})
		return nil
	})
}

// follow makes the neighbours those of list, this controller left out. New ones are given to begin.
func (n *neighbours) follow(list []fleet.Controller, begin func(*fellow)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, b := range n.byID {
		if !slices.ContainsFunc(list, func(c fleet.Controller) bool { return c == b.controller }) {
			b.end()
			b.client.Close()
			delete(n.byID, id)
		}
	}
	for _, c := range list {
		if _, have := n.byID[c.ID]; have || c.ID == n.self.ID {
			continue
		}
		b := &fellow{controller: c, client: n.dial(c)}
		n.byID[c.ID] = b
		begin(b)
	}
}

// greet asks a neighbour how it is, again and again, until ctx ends.
func (n *neighbours) greet(ctx context.Context, b *fellow) {
	tick := time.NewTicker(greetEvery)
	defer tick.Stop()
	for {
		limit, cancel := context.WithTimeout(ctx, greetTimeout)
		asked := time.Now()
		hello, err := b.client.Hello(limit)
		cancel()
		if ctx.Err() != nil {
			return
		}
		n.heard(b, asked, hello, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// heard takes note of an answer, or that none came.
func (n *neighbours) heard(b *fellow, asked time.Time, hello api.Hello, err error) {
	now := time.Now()
	n.mu.Lock()
	before, first := b.err, b.heard.IsZero()
	if b.err = err; err == nil {
		b.hello, b.heard = hello, now
		b.skew = hello.Time.Sub(asked.Add(now.Sub(asked) / 2)).Round(time.Millisecond)
	}
	n.mu.Unlock()
	switch {
	case err != nil && before == nil:
		n.logger.Warn("a controller does not answer", "controller", b.controller.ID, "err", err)
	case err == nil && (first || before != nil):
		n.logger.Info("a controller answers", "controller", b.controller.ID, "version", hello.Version)
	}
}

// alive reports whether b has answered lately. The caller holds neighbours.mu.
func (b *fellow) alive(now time.Time) bool {
	return !b.heard.IsZero() && now.Sub(b.heard) < aliveWithin
}

// disown returns why neighbours say that this controller is not one of the cluster's any more; nil if none says so, or
// one of them still answers it.
func (n *neighbours) disown() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var why error
	now := time.Now()
	for _, b := range n.byID {
		switch {
		case errors.Is(b.err, api.ErrForbidden):
			why = fmt.Errorf("says controller %s: %w", b.controller.ID, b.err)
		case b.err == nil && b.alive(now):
			return nil
		}
	}
	return why
}

// ask asks a neighbour what it observed, and passes it on, until ctx ends.
func (n *neighbours) ask(ctx context.Context, b *fellow) {
	var mark string
	for {
		o, err := b.client.Observed(ctx, mark)
		if err == nil {
			mark = o.Next
			n.learn(b.controller.ID, o)
		}
		select {
		case <-time.After(askPause):
		case <-ctx.Done():
			return
		}
	}
}

// live returns the controllers that are alive, this one first.
func (n *neighbours) live() []fleet.Controller {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	cluster, _ := n.state().Cluster()
	out := []fleet.Controller{n.self.controller()}
	for _, c := range cluster.Controllers {
		if b, ok := n.byID[c.ID]; ok && b.alive(now) {
			out = append(out, c)
		}
	}
	return out
}

// A sighting is what is known of a neighbour.
type sighting struct {
	controller fleet.Controller
	client     *api.PeerClient
	alive      bool
	heard      time.Time
	hello      api.Hello
	skew       time.Duration
}

// all returns what is known of each neighbour, in the state's order.
func (n *neighbours) all() []sighting {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	cluster, _ := n.state().Cluster()
	var out []sighting
	for _, c := range cluster.Controllers {
		if b, ok := n.byID[c.ID]; ok {
			out = append(out, sighting{b.controller, b.client, b.alive(now), b.heard, b.hello, b.skew})
		}
	}
	return out
}

// A raftPeer asks other controllers for their stores. It implements raftstore.Peer.
type raftPeer struct {
	pin         string
	certificate func() (*tls.Certificate, error)
	genuine     func(*x509.Certificate) error // whether whoever answers is the controller of its name

	mu      sync.Mutex
	clients map[string]*api.PeerClient // by address
}

// maxRaftPeers bounds the addresses that clients are kept for: there are never so many controllers.
const maxRaftPeers = 64

func (p *raftPeer) client(address string) *api.PeerClient {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.clients[address]; ok {
		return c
	}
	if len(p.clients) >= maxRaftPeers {
		p.drop()
	}
	if p.clients == nil {
		p.clients = map[string]*api.PeerClient{}
	}
	c := api.NewPeerClient(address, p.pin, p.certificate, "")
	c.Demand(p.genuine)
	p.clients[address] = c
	return c
}

// drop closes all clients. The caller holds p.mu.
func (p *raftPeer) drop() {
	for _, c := range p.clients {
		c.Close()
	}
	clear(p.clients)
}

// close ends idle connections.
func (p *raftPeer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
}

// Propose implements raftstore.Peer.
func (p *raftPeer) Propose(ctx context.Context, address string, entry []byte) (fleet.Revision, error) {
	rev, err := p.client(address).Propose(ctx, entry)
	switch {
	case err == nil, fleet.IsRefusal(err):
	case errors.Is(err, api.ErrNotLeader):
		err = translated{raftstore.ErrNotLeader, err}
	default: // it may have arrived
		err = translated{raftstore.ErrUncertain, err}
	}
	return rev, err
}

// ReadIndex implements raftstore.Peer.
func (p *raftPeer) ReadIndex(ctx context.Context, address string, c raftstore.Consistency) (fleet.Revision, error) {
	rev, err := p.client(address).ReadIndex(ctx, api.Consistency(c))
	if errors.Is(err, api.ErrNotLeader) {
		err = translated{raftstore.ErrNotLeader, err}
	}
	return rev, err
}

// Stats implements raftstore.Peer.
func (p *raftPeer) Stats(ctx context.Context, address string) (raftstore.Stats, error) {
	hello, err := p.client(address).Hello(ctx)
	if err != nil {
		return raftstore.Stats{}, err
	}
	var stats raftstore.Stats
	if err := json.Unmarshal(hello.Raft, &stats); err != nil {
		return raftstore.Stats{}, fmt.Errorf("controller %s: %w", hello.ID, err)
	}
	return stats, nil
}
