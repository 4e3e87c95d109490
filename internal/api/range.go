package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Roots opens images' roots for nodes that get nothing from their swarm. Its method is called from any goroutine.
type Roots interface {
	// OpenRoot opens a blob that this controller holds. Its ReadAt returns verified bytes or an error. The error wraps
	// fleet.ErrNotFound if this controller does not hold it.
	OpenRoot(d fleet.Digest) (Root, error)
}

// A Root is an open blob.
type Root interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Bounds on ranges of roots. A node that needs one is the exception: a swarm that works sends each byte once, and a
// controller that sent every node its image would be what the swarm is there to spare.
const (
	MaxRange     = 16 << 20         // bytes of one answer
	maxRanges    = 8                // sent at once
	rangeChunk   = 256 << 10        // bytes between two deadlines
	rangeTime    = 5 * time.Second  // for the node to take a chunk: 52 kB/s at least
	refusalsKept = 5 * time.Second  // over which refusals are counted
	longestWait  = 30 * time.Second // that a refused node is told to wait
)

// RangeCounts is what became of nodes' requests for ranges since the controller started.
type RangeCounts struct {
	Bytes   int64 // sent
	Served  int64 // requests that were answered in full
	Refused int64 // requests that were told to come again later
	Now     int   // being sent
}

// ranges is a Server's account of ranges. The zero value is ready.
type ranges struct {
	bytes, served, refused atomic.Int64

	mu      sync.Mutex
	sending map[string]bool // by node: one range at a time each
	since   time.Time       // when the present count of refusals began
	lately  int             // refusals since then
	before  int             // refusals in the time before that
}

// Ranges returns what became of nodes' requests for ranges.
func (s *Server) Ranges() RangeCounts {
	s.ranges.mu.Lock()
	defer s.ranges.mu.Unlock()
	return RangeCounts{Bytes: s.ranges.bytes.Load(), Served: s.ranges.served.Load(), Refused: s.ranges.refused.Load(), Now: len(s.ranges.sending)}
}

// begin takes a place for a node, or says how long it must wait before it asks again.
func (r *ranges) begin(node string, now time.Time) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sending) < maxRanges && !r.sending[node] {
		if r.sending == nil {
			r.sending = make(map[string]bool)
		}
		r.sending[node] = true
		return 0, true
	}
	switch age := now.Sub(r.since); {
	case age >= 2*refusalsKept:
		r.since, r.before, r.lately = now, 0, 0
	case age >= refusalsKept:
		r.since, r.before, r.lately = now, r.lately, 0
	}
	r.lately++
	r.refused.Add(1)
	// The more are waiting, the further apart they come back.
	crowd := time.Duration(max(r.before, r.lately)) * time.Second / maxRanges
	return time.Second + rand.N(min(crowd, longestWait-time.Second)+time.Second), false
}

func (r *ranges) end(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sending, node)
}

// sendRange sends a node a part of an image's root.
func (s *Server) sendRange(w http.ResponseWriter, r *request) error {
	digest, err := fleet.ParseDigest(r.PathValue("digest"))
	if err != nil {
		return err
	}
	first, length, err := parseRange(r.Header.Get("Range"))
	if err != nil {
		return err
	}
	if s.Roots == nil {
		return errNotHere("roots")
	}
	if !isRoot(r.state, digest) {
		return fmt.Errorf("root %s: %w: no image version has it", digest.Short(), fleet.ErrNotFound)
	}
	wait, ok := s.ranges.begin(r.name, s.Now())
	if !ok {
		seconds := int64((wait + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
		return fmt.Errorf("%w: %d nodes are sent ranges of images already; ask again in %d s", ErrBusy, maxRanges, seconds)
	}
	defer s.ranges.end(r.name)
	root, err := s.Roots.OpenRoot(digest)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // it was read only
	size := root.Size()
	if first >= size {
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
		return fmt.Errorf("%w: byte %d of %d", ErrRange, first, size)
	}
	return s.copyRange(w, r, io.NewSectionReader(root, first, min(length, size-first)), first, size)
}

// copyRange sends part, which begins at first in a root of that size. Once the first byte is sent, an error can only end
// the connection: the node sees fewer bytes than Content-Length says.
func (s *Server) copyRange(w http.ResponseWriter, r *request, part *io.SectionReader, first, size int64) error {
	deadline := http.NewResponseController(w)
	buf := make([]byte, min(rangeChunk, part.Size()))
	for sent := int64(0); sent < part.Size(); {
		if err := r.Context().Err(); err != nil {
			return s.torn(r, sent, err)
		}
		n, err := io.ReadFull(part, buf[:min(rangeChunk, part.Size()-sent)])
		if err != nil { // damaged here: another controller may hold it whole
			return s.torn(r, sent, fmt.Errorf("%w: %w", ErrUnavailable, err))
		}
		if err := deadline.SetWriteDeadline(time.Now().Add(rangeTime)); err != nil {
			return s.torn(r, sent, fmt.Errorf("set deadline: %w", err))
		}
		if sent == 0 {
			h := w.Header()
			h.Set("Content-Type", octetType)
			h.Set("Content-Length", strconv.FormatInt(part.Size(), 10))
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+part.Size()-1, size))
			w.WriteHeader(http.StatusPartialContent)
		}
		wrote, err := w.Write(buf[:n])
		sent += int64(wrote)
		s.ranges.bytes.Add(int64(wrote))
		if err != nil {
			return nil // the node went away, or takes less than it must
		}
	}
	s.ranges.served.Add(1)
	return nil
}

// torn returns the reason why a range was not sent, or logs it if a part was: then the answer has begun.
func (s *Server) torn(r *request, sent int64, err error) error {
	if sent == 0 {
		return err
	}
	if !errors.Is(err, context.Canceled) {
		s.Logger.Error("cannot send a range of an image", "blob", r.PathValue("digest"), "node", r.name, "err", err)
	}
	return nil
}

// parseRange reads the one form of Range that is served, "bytes=FIRST-LAST" (RFC 9110, 14.1.2).
func parseRange(text string) (first, length int64, err error) {
	bad := func(why string) (int64, int64, error) {
		return 0, 0, fmt.Errorf("%w Range %.80q: %s", fleet.ErrInvalid, text, why)
	}
	const form = "want one range, bytes=FIRST-LAST"
	spec, ok := strings.CutPrefix(text, "bytes=")
	if !ok {
		return bad(form)
	}
	from, to, ok := strings.Cut(spec, "-")
	if !ok {
		return bad(form)
	}
	begin, err1 := strconv.ParseUint(from, 10, 62)
	end, err2 := strconv.ParseUint(to, 10, 62)
	switch {
	case err1 != nil || err2 != nil || end < begin:
		return bad(form)
	case end-begin >= MaxRange:
		return bad(fmt.Sprintf("want at most %d bytes", MaxRange))
	}
	return int64(begin), int64(end-begin) + 1, nil
}

// isRoot reports whether an image version has that root.
func isRoot(state fleet.State, d fleet.Digest) bool {
	for i := range state.Images() {
		for _, v := range i.Versions {
			if v.Root.Digest == d {
				return true
			}
		}
	}
	return false
}
