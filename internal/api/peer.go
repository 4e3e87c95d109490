package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// maxPulls bounds the pulls under way for other controllers.
const maxPulls = 8

func (s *Server) peers() (Peers, error) {
	if s.Peers == nil {
		return nil, errNotHere("peers")
	}
	return s.Peers, nil
}

func (s *Server) hello(context.Context, *request, none) (Hello, error) {
	peers, err := s.peers()
	if err != nil {
		return Hello{}, err
	}
	return peers.Hello(), nil
}

// peerPropose commits an entry that another controller encoded.
func (s *Server) peerPropose(w http.ResponseWriter, r *request) error {
	return within(w, r, func(ctx context.Context) (any, error) {
		peers, err := s.peers()
		if err != nil {
			return nil, err
		}
		entry, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, badBody(err)
		}
		rev, err := peers.Propose(ctx, entry)
		return Committed{rev}, err
	})
}

func (s *Server) peerRead(ctx context.Context, _ *request, body ReadRequest) (Committed, error) {
	peers, err := s.peers()
	if err != nil {
		return Committed{}, err
	}
	c, err := ParseConsistency(string(body.Consistency))
	if err != nil {
		return Committed{}, err
	}
	rev, err := peers.ReadIndex(ctx, c)
	return Committed{rev}, err
}

func (s *Server) peerTransfer(ctx context.Context, _ *request, body TransferRequest) (none, error) {
	peers, err := s.peers()
	if err != nil {
		return none{}, err
	}
	return none{}, peers.Transfer(ctx, body.To)
}

func (s *Server) observed(ctx context.Context, r *request, _ none) (Observations, error) {
	peers, err := s.peers()
	if err != nil {
		return Observations{}, err
	}
	ctx, cancel := untilShutdown(ctx)
	defer cancel()
	return peers.Observed(ctx, r.URL.Query().Get(afterParam))
}

// pull answers with lines of JSON like an import.
func (s *Server) pull(w http.ResponseWriter, r *request) error {
	peers, err := s.peers()
	if err != nil {
		return err
	}
	select {
	case s.pulls <- struct{}{}:
		defer func() { <-s.pulls }()
	default:
		return fmt.Errorf("%w: %d pulls are under way here; try again later", ErrUnavailable, maxPulls)
	}
	c := http.NewResponseController(w)
	if err := c.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	var body PullRequest
	if err := decode(r, &body); err != nil {
		return err
	}
	// What the read deadline would now cut short is the watch for the client's leaving.
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines, err := beginLines(w, cancel)
	if err != nil {
		return err
	}
	err = lines.whileTelling(func(progress func(Progress)) error { return peers.Pull(ctx, body, progress) },
		func(p Progress) any { return pullLine{Progress: &p} })
	last := pullLine{Done: true}
	if err != nil {
		last = pullLine{Error: bodyOf(err)}
	}
	lines.write(last)
	return nil
}

// peerBlob sends a blob. A client that gets less than Content-Length says knows that it is torn.
func (s *Server) peerBlob(w http.ResponseWriter, r *request) error {
	peers, err := s.peers()
	if err != nil {
		return err
	}
	digest, err := fleet.ParseDigest(r.PathValue("digest"))
	if err != nil {
		return err
	}
	b, size, err := peers.OpenBlob(digest)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	w.Header().Set("Content-Type", octetType)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	out := &pacedWriter{w: w, c: http.NewResponseController(w)}
	if _, err := io.CopyBuffer(out, io.LimitReader(b, size), make([]byte, blobChunk)); err != nil && out.err == nil {
		s.Logger.Error("cannot send a blob", "blob", digest.String(), "to", r.name, "err", err)
	}
	return nil
}

// Bounds on the sending of blobs and backups.
const (
	blobChunk = 1 << 20          // bytes between two looks at the clock
	chunkTime = 30 * time.Second // for the client to take a chunk: 35 kB/s at least
)

// A pacedWriter gives the client chunkTime for each write.
type pacedWriter struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	begun bool
	err   error // the first of a write
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	w.begun = true
	err := w.c.SetWriteDeadline(time.Now().Add(chunkTime))
	n := 0
	if err == nil {
		n, err = w.w.Write(p)
	}
	if w.err == nil {
		w.err = err
	}
	return n, err
}
