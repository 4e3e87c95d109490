package swarmlab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/samara-hpc/samara/test/lab"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// A Crowd is the peers of a site. Its methods may be called from any goroutine.
type Crowd struct {
	site    *Site
	program string // that becomes a peer when peer.Word is its first argument

	mu      sync.Mutex
	peers   []*Peer
	changed chan struct{} // closed when a peer says something or ends
}

// A Peer is one process of a crowd.
type Peer struct {
	Name string
	Host *lab.Host
	Role peer.Role
	log  string // what it writes to standard error

	crowd *Crowd
	cmd   *exec.Cmd
	stdin io.Closer
	begin io.Writer

	// Of what follows a holder of crowd.mu may speak.
	ready   bool
	began   time.Time // zero until it was told to begin
	whole   time.Time // when it had all, verified; zero before
	proved  bool
	latest  peer.Event
	course  []Point
	failure error
	fault   Action // what was done to it on purpose
	ended   chan struct{}
}

// A Point is how many bytes a peer held at a time.
type Point struct {
	At   time.Time
	Have int64
}

// NewCrowd returns a crowd without peers. The program becomes a peer when it is called with peer.Word.
func NewCrowd(s *Site, program string) *Crowd {
	return &Crowd{site: s, program: program, changed: make(chan struct{})}
}

// Start starts a peer on a host, whose configuration gets a directory. It waits for Begin.
func (c *Crowd) Start(h *lab.Host, config peer.Config) (*Peer, error) {
	c.mu.Lock()
	name := fmt.Sprintf("%s-%d", h.ID, len(c.peers))
	c.mu.Unlock()
	fail := func(err error) (*Peer, error) { return nil, fmt.Errorf("peer %s: %w", name, err) }
	config.Address = h.Address
	if config.Dir == "" {
		dir, err := c.site.subdir(name)
		if err != nil {
			return fail(err)
		}
		config.Dir = dir
	}
	text, err := json.Marshal(config)
	if err != nil {
		return fail(err)
	}
	p := &Peer{Name: name, Host: h, Role: config.Role, log: filepath.Join(c.site.Dir, name+".log"), crowd: c, ended: make(chan struct{})}
	p.cmd = h.Command(c.program, peer.Word, string(text))
	if err := p.start(); err != nil {
		return fail(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers = append(c.peers, p)
	return p, nil
}

func (p *Peer) start() error {
	log, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stderr = log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.stdin, p.begin = in, in
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go p.follow(out)
	return nil
}

// follow takes note of what the peer says until it ends.
func (p *Peer) follow(out io.Reader) {
	said := peer.Lines(out, func(e peer.Event) { p.crowd.note(func() { p.heard(e) }) })
	err := p.cmd.Wait()
	p.crowd.note(func() {
		if p.failure == nil && p.fault != Kill {
			p.failure = fmt.Errorf("peer %s ended: %w, %w; the end of its log:\n%s", p.Name, said, err, p.lastLines())
		}
		close(p.ended)
	})
}

// heard takes note of an event. The caller holds the crowd's lock.
func (p *Peer) heard(e peer.Event) {
	switch e.Kind {
	case peer.Ready:
		p.ready = true
		return
	case peer.Proved:
		p.proved = true
		return
	case peer.Failed:
		p.failure = fmt.Errorf("peer %s: %s", p.Name, e.Err)
		return
	case peer.Whole:
		p.whole = e.At
	}
	p.latest = e
	p.course = append(p.course, Point{e.At, e.Have})
}

// note changes what is known, and wakes those who wait for it.
func (c *Crowd) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Wait waits until ok, which is asked after every event with the crowd's lock held. It fails if a peer does, or with
// ctx, and says how far everybody is.
func (c *Crowd) Wait(ctx context.Context, what string, ok func() bool) error {
	for {
		c.mu.Lock()
		met, changed, failure := ok(), c.changed, c.failure()
		c.mu.Unlock()
		if met {
			return nil
		}
		if failure != nil {
			return fmt.Errorf("waiting for %s: %w", what, failure)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; the peers:\n%s", what, ctx.Err(), c)
		}
	}
}

// failure returns what one of the peers failed with. The caller holds c.mu.
func (c *Crowd) failure() error {
	for _, p := range c.peers {
		if p.failure != nil {
			return p.failure
		}
	}
	return nil
}

// String says how far everybody is, a line each, and what the first of those who lack something logged last.
func (c *Crowd) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, p := range c.peers {
		fmt.Fprintf(&b, "  %s %s: ready %v, began %v, holds %d bytes, %d from origins, %d from nodes, %d by request; whole %v, proved %v, fault %q\n",
			p.Name, p.Role, p.ready, !p.began.IsZero(), p.latest.Have, p.latest.FromOrigin, p.latest.FromPeers, p.latest.FromControl, !p.whole.IsZero(), p.proved, p.fault)
	}
	if i := slices.IndexFunc(c.peers, func(p *Peer) bool { return !p.proved && p.fault == "" }); i >= 0 {
		fmt.Fprintf(&b, "the end of the log of %s:\n%s", c.peers[i].Name, c.peers[i].lastLines())
	}
	return b.String()
}

// WaitReady waits until every peer can begin.
func (c *Crowd) WaitReady(ctx context.Context) error {
	return c.Wait(ctx, "all peers to be ready", func() bool {
		return !slices.ContainsFunc(c.peers, func(p *Peer) bool { return !p.ready })
	})
}

// WaitProved waits until these peers have the image and its SHA-256 is right, but for those that were killed or frozen.
func (c *Crowd) WaitProved(ctx context.Context, peers []*Peer) error {
	return c.Wait(ctx, "all nodes to have the image", func() bool {
		return !slices.ContainsFunc(peers, func(p *Peer) bool { return !p.proved && p.fault == "" })
	})
}

// WaitWhole waits until these peers say that they have the image, but for those that were killed or frozen.
func (c *Crowd) WaitWhole(ctx context.Context, peers []*Peer) error {
	return c.Wait(ctx, "all nodes to say that they have the image", func() bool {
		return !slices.ContainsFunc(peers, func(p *Peer) bool { return p.whole.IsZero() && p.fault == "" })
	})
}

// Close kills all peers and returns once they are gone.
func (c *Crowd) Close() {
	c.mu.Lock()
	peers := slices.Clone(c.peers)
	for _, p := range peers {
		p.fault = Kill
		_ = p.cmd.Process.Kill() // one that has ended has
	}
	c.mu.Unlock()
	for _, p := range peers {
		<-p.ended
		_ = p.stdin.Close()
	}
}

// Begin lets the peer begin.
func (p *Peer) Begin() error {
	p.crowd.mu.Lock()
	p.began = time.Now()
	p.crowd.mu.Unlock()
	if _, err := io.WriteString(p.begin, "\n"); err != nil {
		return fmt.Errorf("peer %s: %w", p.Name, err)
	}
	return nil
}

// An Action is a fault that peers and heads can be given.
type Action string

// The faults.
const (
	Kill     Action = "kill"      // SIGKILL to nodes: their sockets close
	Freeze   Action = "freeze"    // SIGSTOP to nodes: their sockets stay open, and nobody answers
	KillHead Action = "kill head" // SIGKILL to controllers
)

// Hurt kills or freezes the peer.
func (p *Peer) Hurt(a Action) error {
	p.crowd.note(func() { p.fault = a })
	if a == Freeze {
		return p.cmd.Process.Signal(syscall.SIGSTOP)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("peer %s: %w", p.Name, err)
	}
	<-p.ended
	return nil
}

// Latest returns the newest counts that the peer told.
func (p *Peer) Latest() peer.Event {
	p.crowd.mu.Lock()
	defer p.crowd.mu.Unlock()
	return p.latest
}

// lastLines returns the end of the peer's log.
func (p *Peer) lastLines() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "")
}
