package netboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// receiveBuffer holds the requests of a whole cluster that is switched on at once, in bytes.
const receiveBuffer = 4 << 20

// A listener is one of the two DHCP ports. It learns with each datagram by which interface it came in, since an answer
// to a machine without an address must leave by that one.
type listener struct {
	conn  *ipv4.PacketConn
	proxy bool // port 4011
}

func listenDHCP(port uint16, proxy bool) (*listener, error) {
	at := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		controlErr := raw.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
				return
			}
			// Beyond net.core.rmem_max only with CAP_NET_ADMIN; without it the kernel gives what it allows.
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
			}
		})
		return errors.Join(controlErr, err)
	}}
	c, err := config.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return nil, bindError("UDP", at, err)
	}
	p := ipv4.NewPacketConn(c)
	if err := p.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("UDP port %d: ask for the interface of datagrams: %w", port, err)
	}
	return &listener{conn: p, proxy: proxy}, nil
}

// bindError says in one line why a port cannot be had, and the cure.
func bindError(protocol string, at netip.AddrPort, err error) error {
	what := fmt.Sprintf("%s port %d", protocol, at.Port())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program; ss -%slpn 'sport = :%d' names it, stop that one first: %w", what, strings.ToLower(protocol[:1]), at.Port(), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: no permission; run as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW: %w", what, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %s is not an address of this machine; ip -4 address shows those it has: %w", what, at.Addr(), err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// A limited listener accepts at most a number of connections at a time, and of these at most a number from one
// address; more of one address are closed at once, more in all wait in the kernel's queue, which takes net.core.somaxconn
// of them (listen(2)); a client beyond those sends its SYN again until there is room.
type limited struct {
	net.Listener
	places chan struct{}
	most   int

	mu      sync.Mutex
	clients map[netip.Addr]int
	closed  chan struct{}
	once    sync.Once
}

func newLimited(l net.Listener, total, perClient int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, total), most: perClient, clients: map[netip.Addr]int{}, closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.places
			return nil, err
		}
		client := addressOf(c.RemoteAddr().String())
		if l.take(client) {
			return &place{Conn: c, leave: sync.OnceFunc(func() { l.release(client) })}, nil
		}
		_ = c.Close()
	}
}

// crowded reports whether most places are taken.
func (l *limited) crowded() bool { return len(l.places) > cap(l.places)*3/4 }

func (l *limited) take(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[client] >= l.most {
		return false
	}
	l.clients[client]++
	return true
}

func (l *limited) release(client netip.Addr) {
	l.mu.Lock()
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client)
	}
	l.mu.Unlock()
	<-l.places
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A place is a connection that gives its place back when it is closed.
type place struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (p *place) Close() error {
	p.leave()
	return p.Conn.Close()
}

// addressOf returns the address of "ADDRESS:PORT", or the zero value.
func addressOf(hostport string) netip.Addr {
	a, _ := netip.ParseAddrPort(hostport)
	return a.Addr().Unmap()
}
