package bootagent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A step is one thing to be done on the way from power-on to a booted node. It may be attempted again after it failed,
// or after a whole agent died in it.
type step struct {
	name     string
	phase    fleet.Phase   // reached when the step is done; "" for none
	deadline time.Duration // of one attempt; 0 for a step that has its own
	do       func(ctx context.Context) (detail string, err error)
}

// A hopeless error says that a step cannot succeed in this boot: only another one, with a fresh boot token, can.
type hopeless struct{ reason error }

func (h hopeless) Error() string { return h.reason.Error() }
func (h hopeless) Unwrap() error { return h.reason }

// stepRetry is how long the agent waits before it attempts a step again.
var stepRetry = backoff{Base: time.Second, Cap: 30 * time.Second}

// A runner does steps, each until it succeeds.
type runner struct {
	log      *slog.Logger
	timeline *timeline
	rescue   func(ctx context.Context) // a shell for the person at the console; nil unless the command line allows it
	reboot   func() error              // nil: a hopeless step ends the run instead
}

// rescueEvery is how many failures of one step in a row open a shell: the first may be a cable still being negotiated.
const rescueEvery = 3

// run does the steps in order. It returns only when all are done, or ctx ends, or rebooting fails.
func (r runner) run(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := r.repeat(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (r runner) repeat(ctx context.Context, s step) error {
	for failures := 0; ; failures++ {
		detail, err := attempt(ctx, s)
		switch {
		case err == nil:
			r.done(s, detail)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		r.timeline.fail(s.name + ": " + err.Error())
		var never hopeless
		switch {
		case r.rescue != nil && (failures+1)%rescueEvery == 0:
			r.log.Error(s.name+": failed; opening a shell; it goes on when you leave it", "err", err)
			r.rescue(ctx)
			continue
		case r.reboot == nil && errors.As(err, &never):
			return err
		case r.rescue == nil && errors.As(err, &never):
			return r.giveUp(ctx, s, err)
		}
		wait := stepRetry.delay(failures)
		r.log.Warn(fmt.Sprintf("%s: trying again in %s", s.name, wait.Round(100*time.Millisecond)), "err", err)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// attempt does a step once, within its deadline.
func attempt(ctx context.Context, s step) (string, error) {
	if s.deadline > 0 {
		late := fmt.Errorf("not done within %s", s.deadline)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.deadline, late)
		defer cancel()
	}
	return s.do(ctx)
}

func (r runner) done(s step, detail string) {
	text := s.name + ": done"
	if detail != "" {
		text = s.name + ": " + detail
	}
	r.log.Info(text)
	if s.phase != "" {
		r.timeline.reach(s.phase, detail)
	} else {
		r.timeline.fail("")
	}
}

// giveUp reboots the machine, after a time in which a person can read why.
func (r runner) giveUp(ctx context.Context, s step, reason error) error {
	wait := jitter(time.Minute)
	r.log.Error(fmt.Sprintf("%s: only a new boot can help; rebooting in %s", s.name, wait.Round(time.Second)), "err", reason)
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	return r.reboot()
}
