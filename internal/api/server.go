package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config is what a Server answers from. Every field is needed but those that say otherwise.
type Config struct {
	Store       Store
	Images      Images
	Observer    Observer
	Agents      Agents
	Health      Health
	Controllers Controllers // nil answers its routes with ErrUnavailable
	Peers       Peers       // nil answers its routes with ErrUnavailable
	Backups     Backups     // nil answers its route with ErrUnavailable
	Users       Users       // nil answers its route with ErrUnavailable
	Swarms      Swarms      // nil answers its route with ErrUnavailable
	Roots       Roots       // nil answers its route with ErrUnavailable
	Logger      *slog.Logger
	User        uint32           // the user id that the Unix socket obeys; the zero value is root
	Now         func() time.Time // nil is time.Now
}

// A Server answers people and agents. Its methods may be called from any goroutine.
type Server struct {
	Config
	handler   http.Handler
	imports   chan struct{} // holds one token per import under way
	pulls     chan struct{} // one per pull
	watchers  chan struct{} // one per watch
	edits     places        // of edits
	dryEdits  places        // of edits that only ask what they would do
	recalling places        // of what computes earlier states
	heartbeat time.Duration // of watches
	feed      feed
	gauge     gauge
	joins     joinLimiter
	ranges    ranges
	described func() document // of its routes
}

// New returns a Server.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{Config: c, imports: make(chan struct{}, maxImports), pulls: make(chan struct{}, maxPulls), watchers: make(chan struct{}, maxWatchers),
		edits: make(places, maxEdits), dryEdits: make(places, maxDryEdits), recalling: make(places, maxRecalling), heartbeat: watchHeartbeat}
	s.described = sync.OnceValue(func() document { return describe(s.routes()) })
	s.handler = s.mux()
	return s
}

// Bounds on what one connection may hold. Requests have deadlines of their own.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	drainTimeout   = time.Second // for requests under way when a server ends
)

type streamsKey struct{}

// untilShutdown returns a context that ends with ctx, which is a request's, and as soon as its server is to end: for
// requests that last until somebody ends them, and are not worth waiting for.
func untilShutdown(ctx context.Context) (context.Context, context.CancelFunc) {
	streams, ok := ctx.Value(streamsKey{}).(context.Context)
	ctx, cancel := context.WithCancel(ctx)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(streams, cancel)
	return ctx, func() { stop(); cancel() }
}

// Serve answers on l until ctx ends, then closes l, waits a little for requests under way, and cuts the rest off. No
// request is under way when it returns. l is
// a Unix socket, as ListenSocket makes it, or hands out *tls.Conn of identity.ServerConfig; other connections are
// refused every request. The error is nil if ctx ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	var conns sync.WaitGroup
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       withPeer,
		ConnState: func(_ net.Conn, now http.ConnState) {
			switch now {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				conns.Done()
			}
		},
		BaseContext: func(net.Listener) context.Context { return context.WithValue(requests, streamsKey{}, streams) },
		ErrorLog:    slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(endStreams)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		cancel()
		err = errors.Join(err, srv.Close())
		conns.Wait()
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	drain, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer stop()
	err := srv.Shutdown(drain)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	conns.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stop serving %s: %w", l.Addr(), err)
	}
	return nil
}
