package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// A question is a request that can be sent more than once, and to more than one controller.
type question struct {
	method, path string // the path with its query
	kind         string // of body; "" if there is none
	body         []byte
	id           string // of a change; "" if it is none
	again        repetition
	stream       bool // the answer is read as it comes; otherwise it is not one until it is whole
}

// A repetition says when a question is asked again. Whatever it is, a controller that surely did not receive the
// question, or says that another must be asked, is followed by the next, and busy ones are asked again after a while. The
// zero value repeats nothing more.
type repetition uint8

const (
	repeatOnce       repetition = iota + 1 // of the next controller, whatever became of it at one
	repeatUntilKnown                       // round after round while it may have been heard: it has an id
)

// Bounds on how a question is repeated.
const (
	answerTimeout = 10 * time.Second       // for one of several controllers to begin its answer
	repeatFor     = 30 * time.Second       // until an unknown outcome is told as such
	repeatFirst   = 100 * time.Millisecond // between rounds; doubled each time
	repeatMost    = 2 * time.Second
	busyMost      = 5 * time.Second // that a busy controller is left alone because it asks for that
)

// A verdict says what a failed attempt means for the next.
type verdict uint8

const (
	refused   verdict = iota // others would say the same
	elsewhere                // nothing was done here; another controller may
	unknown                  // it may have been done
)

// A failure is what came of asking one controller.
type failure struct {
	at      string
	verdict verdict
	err     error
}

// send asks the controllers in turn until one answers with a success. It returns the answer and who gave it.
func (c *Client) send(ctx context.Context, q question) (*http.Response, string, error) {
	giveUp := time.Now().Add(repeatFor)
	doubt := false
	for pause := repeatFirst; ; pause = min(2*pause, repeatMost) {
		resp, at, said := c.round(ctx, q)
		if resp != nil {
			return resp, at, nil
		}
		last := said[len(said)-1]
		if last.verdict == refused {
			return nil, "", last.err
		}
		for _, f := range said {
			doubt = doubt || f.verdict == unknown
		}
		err := toldBy(said)
		busy, untilKnown := errors.Is(err, ErrBusy) && (!doubt || q.again != 0), doubt && q.again == repeatUntilKnown
		if !busy && !untilKnown {
			return nil, "", err
		}
		rested := rest(ctx, max(pause, waitAskedFor(err)))
		switch {
		case rested && time.Now().Before(giveUp):
		case untilKnown:
			return nil, "", uncertain(ctx, err)
		default:
			return nil, "", err
		}
	}
}

// waitAskedFor returns how long a busy controller asked to be left alone, and a little more, so that not all that it
// sent away come back at once.
func waitAskedFor(err error) time.Duration {
	told := (*remoteError)(nil)
	if !errors.As(err, &told) || told.wait <= 0 {
		return 0
	}
	wait := min(told.wait, busyMost)
	return wait + rand.N(wait)
}

// rest waits, and reports whether ctx lasted.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// uncertain says that a change may have been made. It does not wrap err, which may read as if nobody had been asked.
func uncertain(ctx context.Context, err error) error {
	text := fmt.Sprintf("; look whether the change was made before asking for it again: %v", err)
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w%s: %w", ErrUncertain, text, cause)
	}
	return fmt.Errorf("%w%s", ErrUncertain, text)
}

// round asks each controller once, at most.
func (c *Client) round(ctx context.Context, q question) (*http.Response, string, []failure) {
	var said []failure
	first := int(c.last.Load())
	for i := range c.targets {
		at := (first + i) % len(c.targets)
		t := c.targets[at]
		resp, v, err := c.attempt(ctx, t, q, len(c.targets)-i)
		if err == nil {
			c.last.Store(int64(at))
			return resp, t.at, nil
		}
		said = append(said, failure{t.at, v, err})
		if v == refused {
			c.last.Store(int64(at))
			break
		}
		if v == unknown && q.again == 0 || ctx.Err() != nil {
			break
		}
	}
	return nil, "", said
}

// toldBy joins what controllers said, each with its address. One alone is told as it is.
func toldBy(said []failure) error {
	if len(said) == 1 {
		return said[0].err
	}
	var text strings.Builder
	errs := make([]error, len(said))
	for i, f := range said {
		if i > 0 {
			text.WriteString("; ")
		}
		_, _ = fmt.Fprintf(&text, "%s: %v", f.at, f.err) // never fails
		errs[i] = f.err
	}
	return &unanswered{text.String(), errs}
}

// unanswered is what several controllers said, none of which could answer.
type unanswered struct {
	text string
	errs []error
}

func (e *unanswered) Error() string { return "no controller could answer: " + e.text }

func (e *unanswered) Unwrap() []error { return e.errs }

// errSilent means that a controller took a question and did not begin to answer it in time.
var errSilent = errors.New("it is silent")

// attempt asks one controller; left is how many are still to be asked, this one included. The answer is a success.
func (c *Client) attempt(ctx context.Context, t target, q question, left int) (*http.Response, verdict, error) {
	asking, cancel := context.WithCancelCause(ctx)
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(asking, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	r, err := http.NewRequestWithContext(traced, q.method, t.base+q.path, bytes.NewReader(q.body))
	if err != nil {
		cancel(nil)
		return nil, refused, err
	}
	if q.kind != "" {
		r.Header.Set("Content-Type", q.kind)
	}
	if q.id != "" {
		r.Header.Set(RequestHeader, q.id)
	}
	if len(c.targets) > 1 {
		timer := time.AfterFunc(share(ctx, left), func() { cancel(errSilent) })
		defer timer.Stop()
	}
	resp, err := c.http.Do(r)
	if err != nil {
		v := unknown
		if !connected.Load() || rejected(err) {
			v = elsewhere
		}
		err = lost(asking, t.at, err)
		cancel(nil)
		return nil, v, err
	}
	resp.Body = &endingBody{resp.Body, cancel}
	if resp.StatusCode != http.StatusOK {
		err = refusalOf(asking, t.at, resp)
		return nil, verdictOn(err), err
	}
	if !q.stream {
		err = readWhole(asking, t.at, resp)
	}
	return resp, unknown, err
}

// readWhole puts a body that was read to its end in the place of an answer's. It is a change's answer that breaks off
// that makes its outcome unknown.
func readWhole(ctx context.Context, at string, resp *http.Response) error {
	defer func(body io.Closer) { _ = body.Close() }(resp.Body)
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("more than %d bytes", maxAnswer)
	}
	if err != nil {
		return lost(ctx, at, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return nil
}

// share returns how long one controller may take to begin its answer, if left are still to be asked before ctx ends.
func share(ctx context.Context, left int) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return answerTimeout
	}
	return min(answerTimeout, time.Until(end)/time.Duration(left))
}

// rejected reports whether err is the other side's refusal of a TLS session: it did not read a request.
func rejected(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && op.Op == "remote error"
}

// verdictOn says what a controller's refusal means for other controllers.
func verdictOn(err error) verdict {
	switch {
	case errors.Is(err, ErrUncertain), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrNoAnswer):
		return unknown
	case errors.Is(err, ErrNotLeader), errors.Is(err, ErrUnavailable), errors.Is(err, ErrBusy), errors.Is(err, ErrRoute):
		return elsewhere // ErrRoute: an older controller may lack what a newer one has
	}
	return refused
}

// endingBody ends the request's context with the body of its answer.
type endingBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
