package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// maxWatchLine bounds a line of a watch, in bytes: all of 10,000 nodes in one.
const maxWatchLine = 64 << 20

// How long a watch bears silence, and how long it looks for a controller that goes on with it.
const (
	watchSilence = 3*watchHeartbeat + 5*time.Second
	watchSeeks   = time.Minute
)

// WatchOptions say what to watch. The zero value watches from now.
type WatchOptions struct {
	// After is the revision after which changes are told: that of a state which the caller holds. 0 is now.
	After fleet.Revision
}

// Watch calls each for every line that a controller tells, in order of revision, until ctx ends or each returns an
// error, which it returns. When a controller is lost it goes on at another, where it was. The error wraps ErrTooOld if
// what came after o.After is no longer known: the caller then lists what it watches and begins at that revision.
func (c *Client) Watch(ctx context.Context, o WatchOptions, each func(WatchLine) error) error {
	after := o.After
	heard := time.Now()
	for pause := repeatFirst; ; pause = min(2*pause, repeatMost) {
		before := after
		err := c.watchOnce(ctx, &after, each)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, errWatchLost):
			return err
		}
		if after != before {
			heard, pause = time.Now(), repeatFirst
		}
		if time.Since(heard) > watchSeeks {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// errWatchLost means that a watch is worth another try.
var errWatchLost = errors.New("the watch was interrupted")

// watchOnce watches at one controller. It moves after to the last revision that each was told of.
func (c *Client) watchOnce(ctx context.Context, after *fleet.Revision, each func(WatchLine) error) error {
	query := url.Values{}
	if *after != 0 {
		query.Set(afterParam, header(*after))
	}
	q, err := newQuestion(getWatch, none{}, query, nil)
	if err != nil {
		return err
	}
	q.again, q.stream = repeatOnce, true
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, at, err := c.send(ctx, q)
	if err != nil {
		return againIfUnanswered(err)
	}
	defer func() { _ = resp.Body.Close() }()
	silence := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxWatchLine)
	for lines.Scan() {
		silence.Reset(watchSilence)
		var line WatchLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("answer of %s: %w", at, err)
		}
		if line.Error != nil {
			return againIfUnanswered(line.Error.asError())
		}
		if err := each(line); err != nil {
			return err
		}
		*after = line.Revision
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", errWatchLost, lost(ctx, at, err))
}

// againIfUnanswered marks an error that another controller, or the same one later, may not have.
func againIfUnanswered(err error) error {
	if verdictOn(err) == refused || errors.Is(err, ErrRoute) {
		return err
	}
	return fmt.Errorf("%w: %w", errWatchLost, err)
}
