package seeder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

// deadPeer is how long a peer may leave our bytes unacknowledged before its connection ends. Without it a machine that
// lost power would hold its connection, and the pieces asked of it, for the quarter of an hour that TCP keeps trying:
// the library sets no deadline. It writes a keep-alive every two seconds, so there is always something to acknowledge.
const deadPeer = 10 * time.Second

// socketOptions applies deadPeer to a socket before it connects or listens; accepted connections inherit it.
func socketOptions(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds()))
	})
	return errors.Join(err, set)
}

// A listener accepts peers. Unlike a plain one it makes its caller wait after a failure: the library calls Accept again
// at once, which would spin while the process is out of file descriptors.
type listener struct {
	net.Listener
	client *Client
	closed chan struct{}
	once   sync.Once
}

func listen(addr netip.AddrPort, c *Client) (*listener, error) {
	lc := net.ListenConfig{Control: socketOptions, KeepAlive: -1}
	l, err := lc.Listen(context.Background(), "tcp4", addr.String())
	switch {
	case err == nil:
		return &listener{Listener: l, client: c, closed: make(chan struct{})}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("swarm port %s is in use: stop the program that holds it (ss -ltnp names it) or choose another swarm port: %w", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("swarm address %s is not an address of this machine: %w", addr.Addr(), err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("swarm port %s may not be opened: run as root or choose a port above 1023: %w", addr, err)
	default:
		return nil, fmt.Errorf("opening swarm port %s: %w", addr, err)
	}
}

// Accept waits for a peer that may take part. After an error other than that of Close it waits for a second.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	for err == nil {
		from, _ := netip.ParseAddrPort(conn.RemoteAddr().String()) // a TCP address always parses
		if l.client.allow(from.Addr().Unmap()) {
			return conn, nil
		}
		l.client.faults.add(from.Addr().Unmap(), fleet.FaultStranger)
		_ = conn.Close() // it was of no use
		conn, err = l.Listener.Accept()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil, err
	}
	l.client.logger.Warn("no peer can be accepted: trying again in a second", "err", err)
	select {
	case <-l.closed:
	case <-time.After(time.Second):
	}
	return nil, err
}

// Close frees the port and ends Accept. It may be called again.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// A dialer connects to peers from the address that it listens on, so that peers know by its address who calls.
type dialer struct {
	net.Dialer
	allow func(netip.Addr) bool
}

func newDialer(from netip.Addr, allow func(netip.Addr) bool) dialer {
	d := dialer{net.Dialer{Control: socketOptions, KeepAlive: -1}, allow}
	if !from.IsUnspecified() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d
}

// Dial connects to a peer that may take part.
func (d dialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("calling a peer: %w", err)
	}
	if !d.allow(to.Addr().Unmap()) {
		return nil, fmt.Errorf("calling a peer: %s is no member of the cluster", to)
	}
	return d.DialContext(ctx, d.DialerNetwork(), addr)
}

// DialerNetwork names the network that Dial uses.
func (d dialer) DialerNetwork() string { return "tcp4" }
