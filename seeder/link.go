package seeder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

// deadPeer is how long a peer may leave our bytes unacknowledged before its connection ends. Without it a machine that
// lost power would hold its connection, and the pieces asked of it, for the quarter of an hour that TCP keeps trying:
// the library sets no deadline. It writes a keep-alive every two seconds, so there is always something to acknowledge.
const deadPeer = 10 * time.Second

// unsent is how many bytes a socket takes before it can send them. The kernel takes megabytes otherwise: seconds, at the
// rate that a slow link leaves one of a dozen peers, by which it learns too late what this node has and wants.
const unsent = 64 << 10

// socketOptions applies deadPeer and unsent to a socket before it connects or listens; accepted connections inherit them.
func socketOptions(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds())),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent))
	})
	return errors.Join(err, set)
}

// A listener accepts peers. Unlike a plain one it makes its caller wait after a failure: the library calls Accept again
// at once, which would spin while the process is out of file descriptors. And it answers only whom the client lets in.
type listener struct {
	net.Listener
	client *Client
	door   *door
	closed chan struct{}
	once   sync.Once
}

func listen(addr netip.AddrPort, c *Client) (*listener, error) {
	l, err := openPort(addr)
	if err != nil {
		return nil, err
	}
	blame := func(a netip.Addr, kind fleet.PeerFault) { c.faults.add(a, kind) }
	return &listener{Listener: l, client: c, door: newDoor(c.allow, blame), closed: make(chan struct{})}, nil
}

// Accept waits for a peer that may take part. After an error other than that of Close it waits for a second.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, l.failed(err)
		}
		from, _ := netip.ParseAddrPort(conn.RemoteAddr().String()) // a TCP address always parses
		if addr := from.Addr().Unmap(); !l.client.shuns(addr) {
			if p := l.door.knock(addr, time.Now()); p != nil {
				return &link{Conn: conn, addr: addr, client: l.client, pass: p}, nil
			}
		}
		abort(conn)
		_ = conn.Close()
	}
}

func (l *listener) failed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	l.client.logger.Warn("no peer can be accepted: trying again in a second", "err", err)
	select {
	case <-l.closed:
	case <-time.After(time.Second):
	}
	return err
}

// abort has Close forget what is not yet sent, and leave nothing behind.
func abort(conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // fails only if the connection is gone
	}
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
	client *Client
}

func newDialer(from netip.Addr, c *Client) dialer {
	d := dialer{net.Dialer{Control: socketOptions, KeepAlive: -1}, c}
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
	if a := to.Addr().Unmap(); !d.client.allow(a) || d.client.shuns(a) {
		return nil, fmt.Errorf("calling a peer: %s is not to be called", to)
	}
	conn, err := d.DialContext(ctx, d.DialerNetwork(), addr)
	if err != nil {
		return nil, err
	}
	return &link{Conn: conn, addr: to.Addr().Unmap(), client: d.client}, nil
}

// DialerNetwork names the network that Dial uses.
func (d dialer) DialerNetwork() string { return "tcp4" }

// A link is a connection to a peer, called or calling.
type link struct {
	net.Conn
	addr   netip.Addr
	client *Client
	pass   *pass                    // of a peer that called
	heard  []byte                   // of its handshake
	spoken int                      // bytes of ours
	other  atomic.Pointer[splitter] // of a peer that is not ours
	once   sync.Once
}

// Read reads what the peer says. It fails if that does not begin as the protocol does.
func (l *link) Read(b []byte) (int, error) {
	if s := l.other.Load(); s != nil {
		return s.Read(b)
	}
	if len(l.heard) == handshakeLength {
		return l.Conn.Read(b)
	}
	n, err := l.Conn.Read(b[:min(len(b), handshakeLength-len(l.heard))])
	if wrong := l.greet(b[:n]); wrong != nil {
		return 0, wrong
	}
	return n, err
}

// Write writes what the peer is to hear. Ours is a handshake first, a part of which may follow the peer's.
func (l *link) Write(b []byte) (int, error) {
	if l.spoken < handshakeLength {
		n, err := l.Conn.Write(b[:min(len(b), handshakeLength-l.spoken)])
		l.spoken += n
		if err != nil || n == len(b) {
			return n, err
		}
		more, err := l.Write(b[n:])
		return n + more, err
	}
	if s := l.other.Load(); s != nil {
		return s.Write(b)
	}
	return l.Conn.Write(b)
}

// greet looks at a part of the handshake.
func (l *link) greet(b []byte) error {
	l.heard = append(l.heard, b...)
	if n := min(len(l.heard), len(protocolName)); string(l.heard[:n]) != protocolName[:n] {
		if l.pass == nil || l.pass.speaksOther() {
			l.client.faults.add(l.addr, fleet.FaultProtocol)
		}
		return errors.New("the peer speaks another protocol")
	}
	if len(l.heard) < handshakeLength {
		return nil
	}
	if l.pass != nil && !l.pass.enter() {
		return errors.New("too many peers")
	}
	peer, _, err := readHandshake(bytes.NewReader(l.heard))
	if err == nil && !isOurs(peer.id) {
		l.other.Store(newSplitter(l.Conn, peer))
	}
	return err
}

// Close ends the connection. It may be called again.
func (l *link) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		if l.pass != nil {
			abort(l.Conn)
			l.pass.leave()
		}
		err = l.Conn.Close()
	})
	return err
}
