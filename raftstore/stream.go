package raftstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ALPN is the protocol (RFC 7301) by which controllers ask for Raft on the control port.
const ALPN = "samara-raft/1"

const (
	maxStreams   = 64               // accepted connections at once; a controller keeps three or four to each other
	replyTimeout = 10 * time.Second // for a peer to take what is written to a connection that it opened
)

// A Stream carries Raft between controllers over mutual TLS. It implements raft.StreamLayer.
type Stream struct {
	listener  net.Listener
	advertise net.Addr
	dialTLS   *tls.Config
	authorize func(tls.ConnectionState) error
	logger    *slog.Logger
	refused   *complaints

	ctx    context.Context // ends with Close, and with it the dials under way
	cancel context.CancelFunc
	mu     sync.Mutex
	conns  map[*streamConn]struct{} // all that are open, so that Close can close them
	peers  int                      // how many of them were accepted
}

var _ raft.StreamLayer = (*Stream)(nil)

// NewStream returns a Stream that accepts what listener delivers: *tls.Conn with the handshake done and ALPN agreed
// on. Closing the Stream closes listener. Other controllers reach it at advertise. authorize says why a peer that
// connects is not a controller, nil if it is one. dialTLS must show this controller's certificate, and itself accept
// none but other controllers; its NextProtos are not used.
func NewStream(listener net.Listener, advertise net.Addr, dialTLS *tls.Config, authorize func(tls.ConnectionState) error) *Stream {
	dialTLS = dialTLS.Clone()
	dialTLS.NextProtos = []string{ALPN}
	ctx, cancel := context.WithCancel(context.Background())
	return &Stream{
		listener: listener, advertise: advertise, dialTLS: dialTLS, authorize: authorize, logger: slog.New(slog.DiscardHandler), refused: newComplaints(),
		ctx: ctx, cancel: cancel, conns: map[*streamConn]struct{}{},
	}
}

// Accept implements net.Listener. It closes the connections of peers that are refused, and goes on to the next.
func (s *Stream) Accept() (net.Conn, error) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return nil, err
		}
		if err = s.check(c); err == nil {
			var conn net.Conn
			if conn, err = s.track(c, ""); err == nil {
				return conn, nil
			}
		}
		from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		if !s.refused.again("refused", []any{"peer", from}, time.Now()) { // who was removed calls several times a second
			s.logger.Warn("refused a raft connection", "from", c.RemoteAddr().String(), "err", err)
		}
		_ = c.Close() // refused; nothing was said on it
	}
}

// check reports why c cannot be used, by protocol or by peer.
func (s *Stream) check(c net.Conn) error {
	t, ok := c.(*tls.Conn)
	if !ok {
		return fmt.Errorf("not TLS but %T", c)
	}
	state := t.ConnectionState()
	if !state.HandshakeComplete || state.NegotiatedProtocol != ALPN {
		return fmt.Errorf("the handshake agreed on protocol %q, want %q", state.NegotiatedProtocol, ALPN)
	}
	return s.authorize(state)
}

// Dial implements raft.StreamLayer: it connects to another controller within timeout, handshake included.
func (s *Stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	d := tls.Dialer{Config: s.dialTLS}
	c, err := d.DialContext(ctx, "tcp", string(address))
	if err != nil {
		return nil, fmt.Errorf("raft connection to %s: %w", address, err)
	}
	if got := c.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != ALPN {
		_ = c.Close()
		return nil, fmt.Errorf("raft connection to %s: it speaks protocol %q, want %q", address, got, ALPN)
	}
	conn, err := s.track(c, address)
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("raft connection to %s: %w", address, err)
	}
	return conn, nil
}

// Addr implements net.Listener: the address that other controllers use.
func (s *Stream) Addr() net.Addr { return s.advertise }

// Close closes the listener and all connections, and ends the dials under way.
func (s *Stream) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.drop(func(*streamConn) bool { return true })
	return err
}

// hangUp closes the connections that were made to that address. Raft makes new ones.
func (s *Stream) hangUp(address raft.ServerAddress) {
	s.drop(func(c *streamConn) bool { return c.dialled == address })
}

// drop closes connections. What is on its way on them is lost, as in a crash.
func (s *Stream) drop(which func(*streamConn) bool) {
	s.mu.Lock()
	var open []*streamConn
	for c := range s.conns {
		if which(c) {
			open = append(open, c)
		}
	}
	s.mu.Unlock()
	for _, c := range open {
		// Under TLS, which would wait for the peer to take a goodbye.
		if t, ok := c.Conn.(*tls.Conn); ok {
			_ = t.NetConn().Close()
		}
		_ = c.Close()
	}
}

// track wraps c so that Close finds it. The address is that which was dialled, "" if c was accepted.
func (s *Stream) track(c net.Conn, dialled raft.ServerAddress) (net.Conn, error) {
	accepted := dialled == ""
	conn := &streamConn{Conn: c, stream: s, accepted: accepted, dialled: dialled}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	if accepted {
		if s.peers == maxStreams {
			return nil, errors.New("too many connections")
		}
		s.peers++
	}
	s.conns[conn] = struct{}{}
	return conn, nil
}

// A streamConn is one connection of a Stream.
type streamConn struct {
	net.Conn
	stream   *Stream
	accepted bool
	dialled  raft.ServerAddress // "" if it was accepted
}

// Write gives a peer that connected to us a deadline; Raft sets its own where it connects.
func (c *streamConn) Write(b []byte) (int, error) {
	if c.accepted {
		if err := c.SetWriteDeadline(time.Now().Add(replyTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// Close closes the connection; again, it does nothing.
func (c *streamConn) Close() error {
	c.stream.mu.Lock()
	_, open := c.stream.conns[c]
	if open {
		delete(c.stream.conns, c)
		if c.accepted {
			c.stream.peers--
		}
	}
	c.stream.mu.Unlock()
	if !open {
		return nil
	}
	return c.Conn.Close()
}
