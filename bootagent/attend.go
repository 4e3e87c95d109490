package bootagent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// An Attendance is a place in a swarm for a process that is not a node's agent.
type Attendance struct {
	Controllers []netip.AddrPort // control ports, as in samara.ctl
	Pin         string           // as in samara.ca
	Token       string           // a boot token, as in samara.boot
	Address     netip.Addr       // of this machine: where peers reach it, and whence it calls them
	Dir         string           // gets the image's file, under the image's SHA-256, and the enrollment

	// Aside makes the whole process the last to get the processor and the disk once it has the image, and bounds its
	// heap, as an agent on a node does with itself.
	Aside bool

	Observe  func(seeder.Progress) // called every 250 ms once the download has begun; may be nil
	Complete func(seeder.Progress) // called once the image is verified; may be nil
}

// Attend takes part in a swarm as the agent of a booted node does, by the same code: it enrolls, fetches the image of the
// node that the token is for, proves it, and then seeds, gossips and reports until ctx ends, when it returns nil. It
// touches nothing of the machine but Dir and, if Aside says so, its own process. The clock must be right. A call in a
// directory that an earlier one with the same token left has the same key, and so may enroll again.
func Attend(ctx context.Context, log *slog.Logger, c Attendance) error {
	if !c.Address.Is4() {
		return fmt.Errorf("attend a swarm: address %s: want an IPv4 address of this machine", c.Address)
	}
	if len(c.Controllers) == 0 {
		return errors.New("attend a swarm: no controller is named")
	}
	pin, err := parsePin(c.Pin)
	if err != nil {
		return fmt.Errorf("attend a swarm: pin: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	a := newAgent(log, place{dir: c.Dir, address: c.Address})
	defer a.close()
	defer cancel()
	a.line = cmdline{Controllers: c.Controllers, Pin: pin, Token: c.Token}
	a.session = newSession(c.Controllers, pin)
	a.startReporter(ctx)
	if c.Observe != nil {
		a.parts.Go(func() { a.observe(ctx, c.Observe) })
	}
	a.timeline.reach(fleet.PhaseAgent, "")
	if err := (runner{log: log, timeline: a.timeline}).run(ctx, a.fetching()); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
			return nil
		}
		return err
	}
	if c.Complete != nil {
		_, d := a.image.swarm()
		c.Complete(d.Progress())
	}
	return a.reside(ctx, c.Aside)
}

// observe shows the download's progress until ctx ends.
func (a *agent) observe(ctx context.Context, show func(seeder.Progress)) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, d := a.image.swarm(); d != nil {
				show(d.Progress())
			}
		}
	}
}
