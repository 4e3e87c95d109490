package bootagent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A policy is how the node is to give its image on, as a controller last said, and what came of it. Its methods may be
// called from any goroutine.
type policy struct {
	mu      sync.Mutex
	terms   terms
	changed notice // of terms
	pause   pause
	turned  notice // of pause
}

// Terms are how a node is to give its image on, and for how long.
type terms struct {
	fleet.Seeding
	reseed fleet.Reseed
}

// A pause is why a node sends nothing: the zero value while it does.
type pause struct {
	why   string
	ended bool // until the terms are others
}

// A notice wakes those who wait for a change. Its zero value is ready; a lock guards it.
type notice struct{ given chan struct{} }

// wait returns a channel that is closed when the notice is given.
func (n *notice) wait() <-chan struct{} {
	if n.given == nil {
		n.given = make(chan struct{})
	}
	return n.given
}

func (n *notice) give() {
	if n.given != nil {
		close(n.given)
		n.given = nil
	}
}

// learn replaces the terms by what a controller sent.
func (p *policy) learn(s fleet.Seeding, r fleet.Reseed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := (terms{s, r}); t != p.terms {
		p.terms = t
		p.changed.give()
	}
}

// current returns the terms, and a channel that is closed when they are no longer these.
func (p *policy) current() (terms, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.terms, p.changed.wait()
}

// paused returns why the node sends nothing, and a channel that is closed when that is no longer so.
func (p *policy) paused() (pause, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pause, p.turned.wait()
}

// turn notes why the node sends nothing, and reports whether that is news.
func (p *policy) turn(to pause) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause == to {
		return false
	}
	p.pause = to
	p.turned.give()
	return true
}

// How often it is looked at whether the node is to pause.
const (
	pauseFileEvery    = 5 * time.Second
	pauseCommandEvery = 30 * time.Second
)

// A giver gives the image on: the node's swarm client.
type giver interface {
	SetUploadLimit(bytesPerSecond int64)
	Pause(paused bool)
}

// A checker looks at a node.
type checker interface {
	exists(ctx context.Context, file string) (bool, error)
	succeeds(ctx context.Context, command string) (bool, error)
}

// A steward holds a giver to the policy. It wakes only for what the policy asks for.
type steward struct {
	log      *slog.Logger
	policy   *policy
	timeline *timeline
	giver    giver
	checks   checker
	since    time.Time // when the node had booted
}

// run applies the policy until ctx ends.
func (s *steward) run(ctx context.Context) error {
	for ctx.Err() == nil {
		t, changed := s.policy.current()
		s.giver.SetUploadLimit(t.NodeUpload)
		why, left := s.end(t.reseed)
		if why != "" {
			s.apply(pause{why, true}, nil)
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		s.follow(ctx, t.Seeding, left, changed)
	}
	return nil
}

// end returns why the node is to give nothing on any more, "" if it is to; and then for how long, 0 for ever.
func (s *steward) end(r fleet.Reseed) (why string, left time.Duration) {
	if r == fleet.ReseedNever {
		return "reseed is never", 0
	}
	d, limited := r.Duration()
	if !limited {
		return "", 0
	}
	if left = d - time.Since(s.since); left > 0 {
		return "", left
	}
	return fmt.Sprintf("reseed is %s, and the node has been up for longer", r), 0
}

// follow looks at file and command until the policy changes, the time that is left is over, 0 being for ever, or ctx ends.
func (s *steward) follow(ctx context.Context, seeding fleet.Seeding, left time.Duration, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over, stopOver := every(left > 0, left)
	defer stopOver()
	file, stopFile := every(seeding.PauseFile != "", pauseFileEvery)
	defer stopFile()
	command, stopCommand := every(seeding.PauseCommand != "", pauseCommandEvery)
	defer stopCommand()
	byFile, byCommand := s.look(ctx, seeding.PauseFile), s.ask(ctx, seeding.PauseCommand)
	for {
		s.consider(byFile, byCommand)
		select {
		case <-ctx.Done():
			return
		case <-changed:
			return
		case <-over:
			return
		case <-file:
			byFile = s.look(ctx, seeding.PauseFile)
		case <-command:
			byCommand = s.ask(ctx, seeding.PauseCommand)
		}
	}
}

// every returns a channel that gives a value each period, if it is wanted.
func every(wanted bool, period time.Duration) (<-chan time.Time, func()) {
	if !wanted {
		return nil, func() {}
	}
	t := time.NewTicker(period)
	return t.C, t.Stop
}

// A verdict is what a check says: why to pause, or why it cannot say.
type verdict struct {
	pause string
	err   error
}

func (s *steward) look(ctx context.Context, file string) verdict {
	if file == "" {
		return verdict{}
	}
	exists, err := s.checks.exists(ctx, file)
	switch {
	case err != nil:
		return verdict{err: fmt.Errorf("pause file %s: %w; the image is given on as if it did not exist", file, err)}
	case exists:
		return verdict{pause: "file " + file + " exists"}
	}
	return verdict{}
}

func (s *steward) ask(ctx context.Context, command string) verdict {
	if command == "" {
		return verdict{}
	}
	yes, err := s.checks.succeeds(ctx, command)
	switch {
	case err != nil:
		return verdict{err: fmt.Errorf("pause command %q: %w; the image is given on as if it had failed; samara cluster set --pause-command changes it", command, err)}
	case yes:
		return verdict{pause: fmt.Sprintf("command %q says so", command)}
	}
	return verdict{}
}

// consider does what the checks say.
func (s *steward) consider(verdicts ...verdict) {
	var now pause
	var trouble error
	for _, v := range verdicts {
		if now.why == "" {
			now.why = v.pause
		}
		if trouble == nil {
			trouble = v.err
		}
	}
	s.apply(now, trouble)
}

// apply pauses or goes on. What could not be said is logged and reported once, until it is something else.
func (s *steward) apply(now pause, trouble error) {
	if s.policy.turn(now) {
		s.giver.Pause(now.why != "")
		switch {
		case now.ended:
			s.log.Info("the image is not given on any more: " + now.why)
		case now.why != "":
			s.log.Info("the image is not given on: " + now.why)
		default:
			s.log.Info("the image is given on again")
		}
		s.timeline.notify()
	}
	text := ""
	if trouble != nil {
		text = trouble.Error()
	}
	if s.timeline.fail(text) && text != "" {
		s.log.Warn(text)
	}
}
