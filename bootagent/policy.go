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
	seeding fleet.Seeding
	changed chan struct{} // closed when seeding changes; nil if nobody waits for that
	paused  string
}

// learn replaces the policy by what a controller sent.
func (p *policy) learn(s fleet.Seeding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == p.seeding {
		return
	}
	p.seeding = s
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// current returns the policy, and a channel that is closed when it is no longer this one.
func (p *policy) current() (fleet.Seeding, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.seeding, p.changed
}

// pausedBy returns why the node sends nothing, "" while it does.
func (p *policy) pausedBy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused
}

// pause notes why the node sends nothing, and reports whether that is news.
func (p *policy) pause(why string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := p.paused != why
	p.paused = why
	return news
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
}

// run applies the policy until ctx ends.
func (s *steward) run(ctx context.Context) error {
	for ctx.Err() == nil {
		seeding, changed := s.policy.current()
		s.giver.SetUploadLimit(seeding.NodeUpload)
		s.follow(ctx, seeding, changed)
	}
	return nil
}

// follow looks at file and command until the policy changes or ctx ends.
func (s *steward) follow(ctx context.Context, seeding fleet.Seeding, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	file, stopFile := every(seeding.PauseFile != "", pauseFileEvery)
	defer stopFile()
	command, stopCommand := every(seeding.PauseCommand != "", pauseCommandEvery)
	defer stopCommand()
	byFile, byCommand := s.look(ctx, seeding.PauseFile), s.ask(ctx, seeding.PauseCommand)
	for {
		s.apply(byFile, byCommand)
		select {
		case <-ctx.Done():
			return
		case <-changed:
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

// apply does what the checks say. What they could not say is logged and reported once, until it is something else.
func (s *steward) apply(verdicts ...verdict) {
	why, trouble := "", ""
	for _, v := range verdicts {
		if why == "" {
			why = v.pause
		}
		if v.err != nil && trouble == "" {
			trouble = v.err.Error()
		}
	}
	if s.policy.pause(why) {
		s.giver.Pause(why != "")
		if why != "" {
			s.log.Info("the image is not given on: " + why)
		} else {
			s.log.Info("the image is given on again")
		}
		s.timeline.notify()
	}
	if s.timeline.fail(trouble) && trouble != "" {
		s.log.Warn(trouble)
	}
}
