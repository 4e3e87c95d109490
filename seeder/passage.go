package seeder

import (
	"net"
	"net/netip"
)

// A passage leads callers of a Server to a Client: those that want what the one does not offer and the other fetches. So a
// controller does both at one port, and controllers that fetch the same blob give each other what they have of it. It is
// a listener of the BitTorrent library.
type passage struct {
	client *Client
	addr   net.Addr
	calls  chan net.Conn
}

// PassOn has a client, opened with DialOnly, answer calls for what it fetches and this server does not offer. It may be
// called once, before Run.
func (s *Server) PassOn(to *Client) {
	s.passage = &passage{client: to, addr: s.listener.Addr(), calls: make(chan net.Conn)}
	to.client.AddListener(s.passage)
}

// lead hands a connection on whose handshake was read, with its pass, and reports whether it did.
func (s *Server) lead(conn net.Conn, addr netip.Addr, c call) bool {
	p := s.passage
	if p == nil || p.client.torrent(c.hello.hash) == nil || p.client.shuns(addr) {
		return false
	}
	l := &link{Conn: &reread{conn, c.raw}, addr: addr, client: p.client, pass: c.pass}
	select {
	case p.calls <- l:
		return true
	case <-p.client.client.Closed():
	case <-s.closed:
	}
	return false
}

// Accept returns the next connection. It fails only once the library has closed the client, since the library calls it
// again at once.
func (p *passage) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.client.client.Closed():
		return nil, net.ErrClosed
	}
}

// Addr returns the server's address.
func (p *passage) Addr() net.Addr { return p.addr }

// A reread is a connection whose first bytes were read, and are read again.
type reread struct {
	net.Conn
	first []byte
}

func (r *reread) Read(b []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}
