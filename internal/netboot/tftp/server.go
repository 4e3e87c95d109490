package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	wire "github.com/pin/tftp/v3"
)

// Bounds of a Server. A block is sent again after a second, five times; a boot ROM gives up sooner or later than
// that, and asks anew. A block is what the client asks for, as far as the interface's MTU carries it in one frame.
const (
	MaxTransfers   = 2000 // at a time
	maxPerClient   = 8    // at a time; a ROM has one or two
	blockTimeout   = time.Second
	blockRetries   = 5
	transferBudget = 3 * time.Minute
)

// A Transfer is the outcome of one request.
type Transfer struct {
	Client netip.AddrPort
	File   string // as known here, or as asked for if there is no such file
	Bytes  int64  // sent and acknowledged
	Err    error  // nil if the client acknowledged the last block
}

// A Server answers read requests. Its zero value is not usable; New makes one.
type Server struct {
	resolve Resolver
	done    func(Transfer)
	wire    *wire.Server

	mu      sync.Mutex
	total   int
	clients map[netip.Addr]int
	ctx     context.Context
}

// A Resolver finds the file that a client means by name, and the name it is known by. Files.Resolve is one.
type Resolver func(name string) (known string, data []byte, err error)

// New returns a server of what resolve finds. It calls done after each request, from many goroutines, if done is not
// nil.
func New(resolve Resolver, done func(Transfer)) *Server {
	s := &Server{resolve: resolve, done: done, clients: map[netip.Addr]int{}}
	s.wire = wire.NewServer(s.read, nil)
	s.wire.SetTimeout(blockTimeout)
	s.wire.SetRetries(blockRetries)
	s.wire.SetBackoff(func(int) time.Duration { return 0 }) // the timeout is pause enough
	return s
}

// Run serves conn until ctx ends, and closes it. Transfers under way end within seconds of that.
func (s *Server) Run(ctx context.Context, conn *net.UDPConn) error {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, s.wire.Shutdown)
	err := s.wire.Serve(conn)
	if !stop() {
		s.wire.Shutdown() // waits for what the first call waits for
	}
	if ctx.Err() != nil {
		return nil
	}
	_ = conn.Close()
	if err == nil {
		err = errors.New("stopped unasked")
	}
	return fmt.Errorf("tftp: %w", err)
}

// errBusy is what a client is told that has to wait. It asks again.
var errBusy = errors.New("busy, ask again")

// read serves one request. The library calls it in a goroutine for each, after it has opened a socket for it; the
// limits keep both to a number.
func (s *Server) read(name string, to io.ReaderFrom) error {
	out, ok := to.(wire.OutgoingTransfer)
	if !ok {
		return errors.New("no client")
	}
	remote := out.RemoteAddr()
	t := Transfer{Client: remote.AddrPort(), File: name}
	t.Client = netip.AddrPortFrom(t.Client.Addr().Unmap(), t.Client.Port())
	t.Err = s.send(&t, out, to)
	if s.done != nil {
		s.done(t)
	}
	return t.Err
}

func (s *Server) send(t *Transfer, out wire.OutgoingTransfer, to io.ReaderFrom) (err error) {
	defer func() {
		if p := recover(); p != nil { // one request must not end the others
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	name, data, err := s.resolve(t.File)
	if err != nil {
		return err
	}
	t.File = name
	ctx, release, err := s.admit(t.Client.Addr())
	if err != nil {
		return err
	}
	defer release()
	out.SetSize(int64(len(data)))
	t.Bytes, err = to.ReadFrom(&bounded{ctx, bytes.NewReader(data)})
	return err
}

// admit takes a place for a client, to be given back by release, and a context for one transfer.
func (s *Server) admit(client netip.Addr) (ctx context.Context, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= MaxTransfers || s.clients[client] >= maxPerClient {
		return nil, nil, errBusy
	}
	s.total++
	s.clients[client]++
	ctx, cancel := context.WithTimeout(s.ctx, transferBudget)
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.clients[client]--; s.clients[client] == 0 {
			delete(s.clients, client)
		}
	}, nil
}

// bounded ends a transfer at its next block once its context ends.
type bounded struct {
	ctx context.Context
	io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}
