package seeder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// handshakePatience is how long a caller may take to say what it wants.
const handshakePatience = 3 * time.Second

// defaultServerPeers bounds the peers of one blob where the configuration does not: every node of a cold cluster may call.
const defaultServerPeers = 512

// A ServerConfig says how a Server meets its peers.
type ServerConfig struct {
	// Listen is the IPv4 address and TCP port for peers. Port 0 takes any free port, which Server.Addr names.
	Listen netip.AddrPort
	// Allow says who may fetch; nil means anybody. It is called for every connection, and must not block.
	Allow func(netip.Addr) bool
	// Rack names the rack that an address is in; nil means that all are in one. It must not block.
	Rack func(netip.Addr) string
	// Copies says whose bytes count as copied, not as sent: those of the other controllers, which keep the blob for nodes.
	// It is called for every peer, and must not block; nil means nobody's.
	Copies func(netip.Addr) bool
	// UploadLimit is in bytes per second, 0 for no limit. SetUploadLimit replaces it.
	UploadLimit int64
	// MaxPeers bounds the connections for each blob; 0 means 512.
	MaxPeers int
	// Logger receives what an operator should know; nil means nothing is logged.
	Logger *slog.Logger
}

// A Server gives blobs away to peers that speak BitTorrent, and fetches nothing. It shows each piece to one of them, as far
// as they pass it on: package origin says how. Its methods may be called from any goroutine.
type Server struct {
	logger   *slog.Logger
	listener net.Listener
	rackOf   func(netip.Addr) string
	copies   func(netip.Addr) bool
	maxPeers int
	id       peerID
	began    time.Time
	door     *door
	turns    *turns
	faults   faults
	buffers  *sync.Pool    // for outlets
	checks   chan *[]byte  // for sources
	patience time.Duration // with a caller's handshake
	starving time.Duration // see origin.Config.Starvation

	passage *passage // nil if no client shares the port

	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	offers  map[Hash]*offer
	callers map[net.Conn]struct{} // whose handshake has not come
	offered uint64                // offers ever made
}

// OpenServer opens the port for peers. Nobody is answered before Run; the caller must call Run or Close.
func OpenServer(c ServerConfig) (*Server, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if !c.Listen.Addr().Is4() {
		return nil, fmt.Errorf("swarm address %s: only IPv4 is supported: choose an IPv4 address, or 0.0.0.0 for all", c.Listen)
	}
	if c.MaxPeers <= 0 {
		c.MaxPeers = defaultServerPeers
	}
	if c.Rack == nil {
		c.Rack = func(netip.Addr) string { return "" }
	}
	if c.Copies == nil {
		c.Copies = func(netip.Addr) bool { return false }
	}
	l, err := openPort(c.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{logger: c.Logger, listener: l, rackOf: c.Rack, copies: c.Copies, maxPeers: c.MaxPeers, began: time.Now(),
		turns: newTurns(c.UploadLimit), buffers: newOutletBuffers(), patience: handshakePatience, closed: make(chan struct{}), offers: map[Hash]*offer{}, callers: map[net.Conn]struct{}{}}
	s.door = newDoor(c.Allow, func(a netip.Addr, f fleet.PeerFault) { s.faults.add(a, f) })
	_, _ = rand.Read(s.id[copy(s.id[:], serverID):]) // it never fails
	s.checks = make(chan *[]byte, runtime.GOMAXPROCS(0))
	for range cap(s.checks) {
		b := make([]byte, 256<<10)
		s.checks <- &b
	}
	return s, nil
}

// Run answers peers until ctx ends, then closes the server and returns nil. It returns ErrClosed after Close.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { s.turns.run(ctx) })
	running.Go(func() { s.accept(&running) })
	var err error
	select {
	case <-ctx.Done():
	case <-s.closed:
		err = ErrClosed
	}
	s.Close()
	cancel()
	running.Wait()
	return err
}

// Close ends all connections and frees the port. Blobs are no longer used once it has returned. It may be called again.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.closed)
		_ = s.listener.Close()
		s.mu.Lock()
		for c := range s.callers {
			_ = c.Close()
		}
		s.mu.Unlock()
	})
	for _, h := range s.hashes() {
		s.Withdraw(h)
	}
}

// Addr returns the address that peers reach this server at.
func (s *Server) Addr() netip.AddrPort {
	a, _ := netip.ParseAddrPort(s.listener.Addr().String()) // a TCP listener's address always parses
	return a
}

// SetUploadLimit changes the upload limit of all blobs together, in bytes per second; 0 means none. While there is one,
// blobs take turns, and so do the peers of each.
func (s *Server) SetUploadLimit(bytesPerSecond int64) { s.turns.setLimit(bytesPerSecond) }

// UploadLimit returns the upload limit, in bytes per second; 0 means none.
func (s *Server) UploadLimit() int64 { return s.turns.limit() }

// Offer gives the blob that info describes away, reading it from blob until Withdraw or Close have returned. Nothing is
// read before a peer asks. A piece is compared with its sum before its first byte leaves; one that does not pass, or that
// cannot be read, is not given away, which the Logger is told of once. If blob has a method File that returns an *os.File
// with the same bytes, pieces are read from that, and sent from it without a copy; if it has a method Misfit, that is
// told where the file is damaged. The error is ErrInfo, ErrKnown or ErrClosed.
func (s *Server) Offer(info []byte, blob io.ReaderAt) error {
	i, err := ParseInfo(info)
	if err != nil {
		return fmt.Errorf("offering: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := InfoHash(info)
	err = nil
	select {
	case <-s.closed:
		err = ErrClosed
	default:
		if s.offers[h] != nil {
			err = ErrKnown
		}
	}
	if err != nil {
		return fmt.Errorf("offering blob %s: %w", i.Digest.Short(), err)
	}
	s.offered++
	o, err := newOffer(s, h, i, newSource(i, blob, s.checks))
	if err != nil {
		return fmt.Errorf("offering blob %s: %w", i.Digest.Short(), err)
	}
	s.offers[h] = o
	return nil
}

// Withdraw hangs up on all peers of a blob. Once it has returned the blob is no longer used. It returns the last figures,
// and false for a blob that is not offered.
func (s *Server) Withdraw(h Hash) (OriginStats, bool) {
	s.mu.Lock()
	o := s.offers[h]
	delete(s.offers, h)
	s.mu.Unlock()
	if o == nil {
		return OriginStats{}, false
	}
	o.close()
	return o.stats(), true
}

// Doubt has every piece of a blob compared with its sum once more before more of it leaves: somebody has found the blob
// damaged.
func (s *Server) Doubt(h Hash) {
	if o := s.offer(h); o != nil {
		o.source.doubt()
	}
}

// Share makes this server the index-th, from 0, of several that offer a blob: each shows its own pieces first.
func (s *Server) Share(h Hash, index, of int) {
	if o := s.offer(h); o != nil {
		o.share(index, of)
	}
}

// Stats returns how a blob is given away, and false for one that is not offered.
func (s *Server) Stats(h Hash) (OriginStats, bool) {
	o := s.offer(h)
	if o == nil {
		return OriginStats{}, false
	}
	return o.stats(), true
}

// Faults returns what peers did wrong, the latest first.
func (s *Server) Faults() []Fault { return s.faults.list() }

// hashes returns the blobs on offer, in no order.
func (s *Server) hashes() []Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	hs := make([]Hash, 0, len(s.offers))
	for h := range s.offers {
		hs = append(hs, h)
	}
	return hs
}

func (s *Server) offer(h Hash) *offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offers[h]
}

// accept answers calls until the port is closed, each in a goroutine of running.
func (s *Server) accept(running *sync.WaitGroup) {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as a want of file descriptors, which trying again at once does not cure
			s.logger.Warn("no peer can be accepted: trying again in a second", "err", err)
			select {
			case <-s.closed:
			case <-time.After(time.Second):
			}
			continue
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			_ = conn.Close() // a TCP listener accepts nothing else
			continue
		}
		addr := tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		p := s.door.knock(addr, time.Now())
		if p == nil {
			_ = tcp.SetLinger(0) // so that nothing remains of who is not answered
			_ = tcp.Close()
			continue
		}
		running.Go(func() { s.answer(tcp, addr, p) })
	}
}

// A call is what a caller has said at first, and its pass.
type call struct {
	hello handshake
	raw   []byte
	pass  *pass
}

// answer serves a caller until one of the two hangs up.
func (s *Server) answer(conn *net.TCPConn, addr netip.Addr, p *pass) {
	hello, raw, ok := s.greet(conn)
	o := s.offer(hello.hash)
	entered := ok && hello.id != s.id && p.enter()
	if entered && o == nil && s.lead(conn, addr, call{hello, raw, p}) {
		return // the client closes the connection, and leaves
	}
	defer p.leave()
	defer conn.Close()
	if !entered || o == nil {
		return
	}
	l, err := newPeerlink(o, conn, addr, hello)
	if err != nil || !o.join(l) {
		return
	}
	if err := o.serve(l); err != nil {
		s.faults.add(addr, fleet.FaultProtocol)
		s.logger.Debug("a peer was hung up on", "peer", addr, "err", err)
	}
}

// greet reads a caller's handshake, and returns its bytes too.
func (s *Server) greet(conn *net.TCPConn) (hello handshake, raw []byte, ok bool) {
	s.mu.Lock()
	select {
	case <-s.closed:
		s.mu.Unlock()
		return hello, nil, false
	default:
	}
	s.callers[conn] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.callers, conn)
	}()
	if err := conn.SetDeadline(time.Now().Add(s.patience)); err != nil {
		return hello, nil, false
	}
	hello, raw, err := readHandshake(conn)
	if err != nil {
		return hello, nil, false
	}
	return hello, raw, conn.SetDeadline(time.Time{}) == nil
}
