package bootagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// rangeSilence is how long a controller may send nothing of a range. It is what the controller allows itself to wait for
// this node, and a little.
const rangeSilence = 10 * time.Second

// A busy error is a controller's wish to be asked later.
type busy struct {
	controller netip.AddrPort
	after      time.Duration
}

func (b *busy) Error() string {
	return fmt.Sprintf("controller %s sends ranges to as many nodes as it may, and wants to be asked in %s", b.controller, b.after)
}

// known returns the controllers that the session knows.
func (s *session) known() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.controllers)
}

// getRange fills into with the bytes of an image's root from off on, from one controller. The error is a *busy if the
// controller wants to be asked later.
func (s *session) getRange(ctx context.Context, from netip.AddrPort, root fleet.Digest, off int64, into []byte) error {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	silent := fmt.Errorf("it sent nothing for %s", rangeSilence)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(rangeSilence, func() { cancel(silent) })
	defer watch.Stop()
	fail := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("controller %s: range of the image: %w", from, shorten(err))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+from.String()+fleet.AgentBlobPath+root.String(), nil)
	if err != nil {
		return fail(err)
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(into))-1))
	answer, err := client.Do(r)
	if err != nil {
		return fail(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusPartialContent {
		return refusedRange(from, answer)
	}
	if answer.ContentLength != int64(len(into)) {
		return fail(fmt.Errorf("%d bytes instead of %d", answer.ContentLength, len(into)))
	}
	for got := 0; got < len(into); {
		n, err := answer.Body.Read(into[got:])
		got += n
		watch.Reset(rangeSilence)
		if err != nil && got < len(into) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fail(err)
		}
	}
	return nil
}

// refusedRange reads an answer that is not a range.
func refusedRange(from netip.AddrPort, answer *http.Response) error {
	if answer.StatusCode == http.StatusServiceUnavailable {
		if after := answer.Header.Get("Retry-After"); after != "" {
			seconds, err := strconv.ParseUint(after, 10, 16)
			if err != nil {
				return &busy{from, busyWait}
			}
			return &busy{from, max(time.Duration(seconds)*time.Second, time.Second)}
		}
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, fleet.MaxReportText))
	no := &refusal{Status: answer.StatusCode, Controller: from}
	if err == nil {
		_ = json.Unmarshal(text, no) // a body that is not ours leaves the status
	}
	no.Text = clip(no.Text)
	return no
}
