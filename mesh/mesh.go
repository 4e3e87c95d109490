// Package mesh keeps the processes of a cluster informed of each other by gossip: who is there, and what it says of
// itself. What it knows are hints. Nothing that matters is decided by gossip alone.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// KeyLength is the length of a gossip key in bytes: AES-256.
const KeyLength = 32

// Times of the protocol. A member that is starved of CPU must not be given up at once. Nodes want silence: a wake-up takes
// time from the job that runs there, and that a node is gone their controllers hear sooner from its reports.
const (
	probeInterval      = 2 * time.Second // of controllers
	nodeProbeInterval  = 10 * time.Second
	nodeGossipInterval = 4 * time.Second // memberlist's own, 200 ms, suits controllers
	probeTimeout       = time.Second
	suspicionMult      = 5
	streamTimeout      = 5 * time.Second
	reclaimAfter       = 30 * time.Second // a dead member's name may then be used at another address
	updateTimeout      = 5 * time.Second
	leaveTimeout       = 2 * time.Second
)

// ErrClosed is returned once a mesh is closed.
var ErrClosed = errors.New("the mesh is closed")

// A Config says who this process is in the mesh.
type Config struct {
	Name      string         // unique in the cluster: a controller's id or a node's name
	Cluster   string         // the cluster's id, at most 255 bytes: gossip of another cluster is refused
	Key       []byte         // KeyLength bytes, shared by all members
	Bind      netip.AddrPort // UDP and TCP; port 0 takes any free port
	Advertise netip.Addr     // where others reach this process; needed if Bind is unspecified, otherwise Bind's address
	Allowed   []netip.Prefix // networks that members may be in; empty for all
	Meta      Meta           // what this process says of itself at first
	Logger    *slog.Logger   // nil for none
}

// A Mesh is this process's membership. Its methods may be called from any goroutine.
type Mesh struct {
	name   string
	self   netip.AddrPort
	logger *slog.Logger
	lines  *lineLog
	list   *memberlist.Memberlist
	table  *table

	meta   atomic.Pointer[[]byte]
	dirty  chan struct{} // holds one: meta has changed
	joined chan struct{} // holds one: a Join succeeded

	mu     sync.Mutex // guards what follows, and is held while the list is left or shut down
	seeds  []netip.AddrPort
	left   bool
	closed bool
	done   chan struct{}
	calls  sync.WaitGroup // calls of list.Join that outlived their context
}

// Open opens the gossip port and is then a mesh of one. The caller must call Run or Close.
func Open(c Config) (*Mesh, error) { return open(c, nil) }

// open is Open with the protocol's settings adjusted by tune, if it is not nil.
func open(c Config, tune func(*memberlist.Config)) (*Mesh, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("opening the mesh: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	meta, err := c.Meta.encode()
	if err != nil {
		return nil, fmt.Errorf("opening the mesh: %w", err)
	}
	m := &Mesh{
		name:   c.Name,
		logger: c.Logger,
		lines:  newLineLog(c.Logger),
		table:  newTable(),
		dirty:  make(chan struct{}, 1),
		joined: make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	m.meta.Store(&meta)
	settings := c.settings(m)
	if tune != nil {
		tune(settings)
	}
	if m.list, err = memberlist.Create(settings); err != nil {
		// memberlist flattens the cause into text, so text is all there is to go by.
		if strings.Contains(err.Error(), "address already in use") {
			return nil, fmt.Errorf("gossip port %s is in use: stop the program that holds it (ss -lunp names it) or choose another gossip port: %w", c.Bind, err)
		}
		return nil, fmt.Errorf("opening gossip port %s: %w", c.Bind, err)
	}
	local := m.list.LocalNode()
	ip, _ := netip.AddrFromSlice(local.Addr)
	m.self = netip.AddrPortFrom(ip.Unmap(), local.Port)
	return m, nil
}

func (c Config) check() error {
	switch {
	case c.Name == "" || len(c.Name) > 255:
		return fmt.Errorf("member name %q: want 1 to 255 bytes", c.Name)
	case c.Cluster == "" || len(c.Cluster) > memberlist.LabelMaxSize:
		return fmt.Errorf("cluster id %q: want 1 to %d bytes", c.Cluster, memberlist.LabelMaxSize)
	case len(c.Key) != KeyLength:
		return fmt.Errorf("the gossip key has %d bytes: want %d", len(c.Key), KeyLength)
	case !c.Bind.Addr().IsValid():
		return errors.New("no address to bind is given")
	case c.Bind.Addr().IsUnspecified() && !c.Advertise.IsValid():
		return fmt.Errorf("bound to %s the mesh cannot know its own address: say which one others should use", c.Bind.Addr())
	}
	return nil
}

// settings returns memberlist's configuration, which it goes on to edit: nobody else keeps it.
func (c Config) settings(m *Mesh) *memberlist.Config {
	s := memberlist.DefaultLANConfig()
	s.Name = c.Name
	s.Label = c.Cluster
	s.BindAddr, s.BindPort = c.Bind.Addr().String(), int(c.Bind.Port())
	s.AdvertisePort = int(c.Bind.Port())
	if c.Advertise.IsValid() {
		s.AdvertiseAddr = c.Advertise.String()
	}
	s.SecretKey = slices.Clone(c.Key)
	s.GossipVerifyIncoming, s.GossipVerifyOutgoing = true, true
	s.EnableCompression = false
	s.RequireNodeNames = false // refers to calls by address alone, which Join makes
	s.DeadNodeReclaimTime = reclaimAfter
	s.ProbeInterval, s.ProbeTimeout = probeInterval, probeTimeout
	if c.Meta.Role == RoleNode {
		s.ProbeInterval, s.GossipInterval = nodeProbeInterval, nodeGossipInterval
	}
	s.SuspicionMult = suspicionMult
	s.TCPTimeout = streamTimeout
	for _, p := range c.Allowed {
		s.CIDRsAllowed = append(s.CIDRsAllowed, net.IPNet{
			IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		})
	}
	s.Logger = log.New(m.lines, "", 0)
	d := delegate{m}
	s.Delegate, s.Events, s.Alive = d, d, d
	return s
}

// Self returns this process's gossip address as others see it.
func (m *Mesh) Self() netip.AddrPort { return m.self }

// SetMeta changes what this process says of itself. Others learn it within seconds while Run runs. The error says which
// bound of Meta is exceeded; then nothing is changed.
func (m *Mesh) SetMeta(meta Meta) error {
	b, err := meta.encode()
	if err != nil {
		return err
	}
	m.meta.Store(&b)
	select {
	case m.dirty <- struct{}{}:
	default:
	}
	return nil
}

// Members returns all members that are known, this process included, by name. Those that are dead stay for a while.
func (m *Mesh) Members() []Member { return m.table.members() }

// Changed returns a channel that is closed at the next change of what Members returns. To miss nothing, call it before
// Members.
func (m *Mesh) Changed() <-chan struct{} { return m.table.watch() }

// Refused returns how many packets and streams were refused so far: another key, another cluster, or nonsense.
func (m *Mesh) Refused() uint64 { return m.lines.refused.Load() }

// Run takes part in the mesh until ctx ends; then it takes leave of the others, closes the port and returns nil.
func (m *Mesh) Run(ctx context.Context) error {
	rejoin := time.NewTimer(0)
	rejoin.Stop()
	defer rejoin.Stop()
	after := 0 // rejoins since the last Join
	for {
		select {
		case <-ctx.Done():
			err := m.Leave(leaveTimeout)
			m.Close()
			if errors.Is(err, ErrClosed) {
				err = nil
			}
			if err != nil {
				m.logger.Debug("gossip: the others may take a while to notice that we left", "err", err)
			}
			return nil
		case <-m.done:
			return ErrClosed
		case <-m.dirty:
			m.update()
		case <-m.table.due():
			m.table.age()
		case <-m.joined:
			after = 0
			rejoin.Reset(rejoinDelay(after))
		case <-rejoin.C:
			after++
			if err := m.contact(ctx); err != nil {
				m.logger.Debug("gossip: joining again failed", "err", err)
			}
			rejoin.Reset(rejoinDelay(after))
		}
	}
}

// update makes the present meta known.
func (m *Mesh) update() {
	if err := m.list.UpdateNode(updateTimeout); err != nil {
		m.logger.Debug("gossip: what we say of ourselves spreads slowly", "err", err) // it stays queued
	}
}

// Leave tells the others that this process goes, and waits until one of them was told or the timeout has passed. The
// mesh can then only be closed. The error is ErrClosed if it was.
func (m *Mesh) Leave(timeout time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case m.left:
		return nil
	}
	m.left = true
	if err := m.list.Leave(timeout); err != nil {
		return fmt.Errorf("leaving the mesh: %w", err)
	}
	return nil
}

// Close frees the port without a word to the others, who notice by themselves. It may be called again.
func (m *Mesh) Close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	close(m.done)
	_ = m.list.Shutdown() // returns nothing but nil
	m.mu.Unlock()
	m.calls.Wait()
	m.table.close()
}
