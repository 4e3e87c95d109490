package peer

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// How a stranger tries.
const (
	strangeCalls = time.Second     // between two calls to one peer
	strangeWait  = 3 * time.Second // for what comes on one call
	strangeAsks  = 16              // pieces of which it asks for the first block, without waiting to be unchoked
	askedLength  = 16 << 10        // bytes of a block
)

// A stranger is a machine on the wire that no controller knows. It has come by the torrent, and speaks the protocol well.
type stranger struct {
	Config
	hash seeder.Hash
	info seeder.Info

	calls   atomic.Int64 // that were put through
	heard   atomic.Int64 // bytes on those
	callers atomic.Int64
}

// runStranger calls everybody in Others and the trackers in Origins again and again, and counts what comes back and who
// calls it. It fails if a tracker tells it anything.
func runStranger(ctx context.Context, c Config, say *teller) error {
	raw, err := os.ReadFile(c.Torrent)
	if err != nil {
		return err
	}
	s := &stranger{Config: c, hash: seeder.InfoHash(raw)}
	if s.info, err = seeder.ParseInfo(raw); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", netip.AddrPortFrom(c.Address, fleet.DefaultPorts.Swarm).String())
	if err != nil {
		return err
	}
	var active sync.WaitGroup
	defer active.Wait()
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if err := say.ready(ctx); err != nil {
		return err
	}
	active.Go(func() { s.countCallers(l) })
	for _, to := range c.Others {
		active.Go(func() { _ = every(ctx, strangeCalls, func() { s.try(ctx, to) }) })
	}
	told := make(chan error, len(c.Origins))
	for _, tracker := range c.Origins {
		active.Go(func() { told <- s.announce(ctx, tracker) })
	}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-told:
			return err
		case <-tick.C:
			say.tell(Event{Kind: Progress, Calls: s.calls.Load(), Callers: s.callers.Load(), Heard: s.heard.Load()})
		}
	}
}

// countCallers hangs up on whoever calls.
func (s *stranger) countCallers(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.callers.Add(1)
		conn.Close()
	}
}

// try calls a peer, asks it for what it may have, and counts every byte that comes.
func (s *stranger) try(ctx context.Context, to netip.AddrPort) {
	conn, err := dialFrom(ctx, s.Address, to)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s.calls.Add(1)
	if conn.SetDeadline(time.Now().Add(strangeWait)) != nil {
		return
	}
	plea := append(hello(s.hash, s.Address), message(msgInterested, nil)...)
	for piece := range min(strangeAsks, s.info.Pieces()) {
		plea = append(plea, message(msgRequest, nil, uint32(piece), 0, askedLength)...)
	}
	_, _ = conn.Write(plea) // one who was hung up on may have been told something before
	_, _ = io.Copy((*counter)(&s.heard), conn)
}

// announce asks a tracker again and again until ctx ends. The error is what it told, if it did not refuse.
func (s *stranger) announce(ctx context.Context, tracker netip.AddrPort) error {
	query := announceQuery(s.hash, fleet.DefaultPorts.Swarm, s.info.Size, "")
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	_ = every(ctx, strangeCalls, func() {
		if text, err := ask(ctx, s.Address, tracker, query); err == nil && !strings.HasPrefix(text, "d14:failure reason") {
			stop(fmt.Errorf("tracker %s tells a stranger %q", tracker, text))
		}
	})
	return context.Cause(ctx)
}

// ask asks an HTTP server from an address of this machine.
func ask(ctx context.Context, from netip.Addr, server netip.AddrPort, query string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s", server, query), nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialFrom(ctx, from, server)
	}}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return string(text), err
}
