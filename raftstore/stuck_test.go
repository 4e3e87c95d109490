package raftstore

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A swamp is a listener whose connections can sink: of those that are there, messages of more than a few hundred bytes
// never arrive. Heartbeats do.
type swamp struct {
	net.Listener
	mu    sync.Mutex
	conns []*swampConn
}

type swampConn struct {
	net.Conn
	sunk   atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (s *swamp) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &swampConn{Conn: conn, closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c, nil
}

// sink sinks the connections that there are, and says how many.
func (s *swamp) sink() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.sunk.Store(true)
	}
	return len(s.conns)
}

func (c *swampConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 600 && c.sunk.Load() {
		<-c.closed
		return 0, io.ErrClosedPipe
	}
	return n, err
}

func (c *swampConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func TestStuckFollowerIsHelped(t *testing.T) {
	said := &lines{}
	c := newCrew(t, 3, func(config *Config) {
		config.StuckFor = 300 * time.Millisecond
		config.Logger = slog.New(slog.NewTextHandler(said, nil))
	})
	c.agree(c.add("a"))
	id := c.anyFollower()
	inner := c.stores[id].config.Stream.listener.(handshaker)
	s := inner.Listener.(*swamp)
	if s.sink() == 0 {
		t.Fatal("nobody has connected")
	}
	entry := addNode("b")
	entry.Why = strings.Repeat("because ", 120)
	rev, err := c.leader().Propose(testContext(t), entry)
	if err != nil {
		t.Fatal(err)
	}
	c.agree(rev)
	if want := "answers but gets no entries"; !said.has(want, "controller="+id) {
		t.Errorf("the log does not say that controller %s %s:\n%s", id, want, said)
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// has reports whether one line has all those words.
func (l *lines) has(words ...string) bool {
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}
