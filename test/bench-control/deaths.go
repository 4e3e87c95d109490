package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A process is a controller in a process of its own, which can be killed.
type process struct {
	*controller
	cmd   *exec.Cmd
	lines sync.WaitGroup // what reads its output
}

// An event is a line that a process has printed: "ack REVISION" after each acknowledged write, or "have REVISION" from
// time to time. Its end is the word gone.
type event struct {
	id       string
	word     string
	revision uint64
	at       time.Time
}

// measureDeaths kills leaders with SIGKILL, each in a process of its own with a disk, a log and TLS. It takes the time
// from the kill to the first write that another leader acknowledges.
func measureDeaths(ctx context.Context, dir string, o options, r *result) (err error) {
	g, err := startGroup(ctx, dir, 3)
	if err != nil {
		return err
	}
	err = populate(ctx, g[0].store, g, writtenNodes)
	if err := join(err, g.stop()); err != nil {
		return err
	}
	events := make(chan event, 64)
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(o.trials)*30*time.Second)
	var all []*process
	defer func() {
		cancel() // kills them all
		for _, p := range all {
			p.lines.Wait()
			_ = p.cmd.Wait()
		}
	}()
	for _, c := range g {
		p := &process{controller: c}
		if err := p.start(ctx, events); err != nil {
			return err
		}
		all = append(all, p)
	}
	w := watcher{ctx: ctx, events: events, have: map[string]uint64{}}
	var took []float64
	for trial := range o.trials {
		d, err := w.killLeader(all)
		if err != nil {
			return err
		}
		progress("trial %d: %.2f s without a leader", trial+1, d.Seconds())
		took = append(took, d.Seconds())
	}
	r.Leaderless = trials{percentilesOf(took), len(took)}
	return nil
}

// start starts the process.
func (p *process) start(ctx context.Context, events chan<- event) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p.cmd = exec.CommandContext(ctx, exe, childWord, childWriter, p.id, p.dir, p.address.String())
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.lines.Go(func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			e := event{id: p.id, at: time.Now()}
			if n, err := fmt.Sscan(strings.TrimSpace(in.Text()), &e.word, &e.revision); n != 2 {
				fmt.Fprintf(os.Stderr, "controller %s printed %q: %v\n", p.id, in.Text(), err)
				continue
			}
			send(ctx, events, e)
		}
		send(ctx, events, event{id: p.id, word: gone})
	})
	return nil
}

const gone = "gone"

func send(ctx context.Context, events chan<- event, e event) {
	select {
	case events <- e:
	case <-ctx.Done():
	}
}

// A watcher follows what processes print.
type watcher struct {
	ctx    context.Context
	events chan event
	leader string // who acknowledged the last write
	acked  uint64 // its revision
	have   map[string]uint64
}

// killLeader waits until all controllers are up to date, kills the one that leads, waits for a write that another one
// acknowledges, and starts the first again.
func (w *watcher) killLeader(all []*process) (time.Duration, error) {
	if err := w.until(func(event) bool {
		for _, p := range all {
			if w.have[p.id] < w.acked-min(w.acked, 100) || w.acked == 0 {
				return false
			}
		}
		return true
	}); err != nil {
		return 0, err
	}
	for _, p := range all {
		if p.id != w.leader {
			continue
		}
		began := time.Now()
		if err := p.cmd.Process.Kill(); err != nil {
			return 0, err
		}
		var again, dead time.Time
		if err := w.until(func(e event) bool {
			switch {
			case e.id == p.id && e.word == gone:
				dead = time.Now()
			case e.id != p.id && e.word == "ack" && again.IsZero():
				again = e.at
			}
			return !dead.IsZero() && !again.IsZero()
		}); err != nil {
			return 0, err
		}
		_ = p.cmd.Wait()     // killed
		delete(w.have, p.id) // what it said before
		return again.Sub(began), p.start(w.ctx, w.events)
	}
	return 0, errors.New("an unknown controller leads")
}

// until reads events until ok.
func (w *watcher) until(ok func(event) bool) error {
	for {
		select {
		case e := <-w.events:
			switch e.word {
			case "ack":
				w.leader, w.acked = e.id, e.revision
			case "have":
				w.have[e.id] = e.revision
			}
			if ok(e) {
				return nil
			}
		case <-w.ctx.Done():
			return fmt.Errorf("leader %q, up to date %v of %d: %w", w.leader, w.have, w.acked, w.ctx.Err())
		}
	}
}
