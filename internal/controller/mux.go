package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Bounds on connections whose handshake is not done. A boot storm brings thousands at once: they wait in the kernel's
// queue rather than in ours.
const (
	maxHandshakes    = 512
	handshakeTimeout = 10 * time.Second
)

// A portMux lets several protocols share one TLS port: it finishes each handshake and hands the connection to the
// listener of the protocol that was agreed on (ALPN, RFC 7301). A client that names none gets the first.
type portMux struct {
	l      net.Listener
	config *tls.Config
	logger *slog.Logger
	routes map[string]*muxListener
	first  *muxListener
	slots  chan struct{}
}

// newPortMux splits l, whose connections are not yet TLS, by the protocols of config.NextProtos.
func newPortMux(l net.Listener, config *tls.Config, logger *slog.Logger) *portMux {
	m := &portMux{l: l, config: config, logger: logger, routes: map[string]*muxListener{}, slots: make(chan struct{}, maxHandshakes)}
	for _, p := range config.NextProtos {
		m.routes[p] = &muxListener{addr: l.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
		if m.first == nil {
			m.first = m.routes[p]
		}
	}
	return m
}

// listener returns the listener that yields handshaken *tls.Conn of one protocol.
func (m *portMux) listener(protocol string) net.Listener { return m.routes[protocol] }

// run accepts until ctx ends or the listener fails. It closes the port and every listener it feeds.
func (m *portMux) run(ctx context.Context) error {
	var handshakes sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = m.l.Close() })
	defer func() {
		stop()
		_ = m.l.Close()
		for _, r := range m.routes {
			_ = r.Close()
		}
		handshakes.Wait()
	}()
	for {
		select {
		case m.slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := m.l.Accept()
		if err != nil {
			<-m.slots
			if ctx.Err() != nil {
				return nil
			}
			if temporary(err) {
				m.logger.Warn("cannot accept a connection", "err", err)
				select {
				case <-time.After(100 * time.Millisecond): // out of file descriptors: let some go
				case <-ctx.Done():
				}
				continue
			}
			return fmt.Errorf("accept on %s: %w", m.l.Addr(), err)
		}
		handshakes.Go(func() {
			m.handshake(ctx, conn)
		})
	}
}

// temporary reports whether accepting may work again in a moment, as after running out of file descriptors.
func temporary(err error) bool { return !errors.Is(err, net.ErrClosed) }

// handshake finishes one connection's handshake and hands it on. Its slot is free afterwards.
func (m *portMux) handshake(ctx context.Context, conn net.Conn) {
	t := tls.Server(conn, m.config)
	limit, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := t.HandshakeContext(limit)
	cancel()
	<-m.slots
	if err != nil {
		m.logger.Debug("refused a connection", "from", conn.RemoteAddr(), "err", err)
		_ = conn.Close()
		return
	}
	route := m.first
	if p := t.ConnectionState().NegotiatedProtocol; p != "" {
		route = m.routes[p]
	}
	select {
	case route.conns <- t:
	case <-route.closed:
		_ = t.Close()
	case <-ctx.Done():
		_ = t.Close()
	}
}

// A muxListener is a net.Listener fed by a portMux.
type muxListener struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *muxListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The port itself stays open for the other protocols.
func (l *muxListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *muxListener) Addr() net.Addr { return l.addr }
