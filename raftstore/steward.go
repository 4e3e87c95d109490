package raftstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/samara-hpc/samara/fleet"
)

const (
	askTimeout    = time.Second      // for a controller to say how it is
	changeTimeout = 5 * time.Second  // for a change of the configuration, or of the format
	maxRest       = 30 * time.Second // between a change that failed and the next
)

// A steward is what the leader does for the others, for as long as it leads: it makes Raft's configuration follow the
// list of controllers in the state, raises the format, and helps followers that are stuck.
type steward struct {
	*Store
	seen     map[string]sighting
	dogs     map[string]*watchdog
	resigned bool // it was tried; once in a reign is enough

	rest  time.Duration // after the last change, which failed
	until time.Time     // no change before
}

// steward works whenever this controller leads, until ctx ends or the store fails.
func (s *Store) steward(ctx context.Context) {
	for {
		reign, err := s.Leading(ctx)
		if err != nil {
			return
		}
		w := steward{Store: s, dogs: map[string]*watchdog{}}
		w.run(reign)
		if ctx.Err() != nil {
			return // with what is known, for the choice of a successor
		}
		s.sightings.replace(nil)
	}
}

// run works until ctx ends.
func (w *steward) run(ctx context.Context) {
	tick := time.NewTicker(w.config.StewardInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.ask(ctx)
		w.watchOver(ctx)
		if !time.Now().Before(w.until) {
			w.reshape(ctx)
			w.raiseFormat(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// others returns those that Raft replicates to.
func (w *steward) others() []raft.Server {
	var others []raft.Server
	for _, v := range w.voters() {
		if v.ID != raft.ServerID(w.config.ID) {
			others = append(others, v)
		}
	}
	return others
}

// ask asks all others at once how they are.
func (w *steward) ask(ctx context.Context) {
	if w.config.Peer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	commit := w.raft.CommitIndex()
	next := map[string]sighting{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, v := range w.others() {
		asking.Go(func() {
			answer, err := w.config.Peer.Stats(ctx, string(v.Address))
			if err == nil && answer.ID != string(v.ID) {
				err = fmt.Errorf("controller %s answers at %s", answer.ID, v.Address)
			}
			seen := w.seen[string(v.ID)].next(answer, err, time.Now(), commit)
			mu.Lock()
			defer mu.Unlock()
			next[string(v.ID)] = seen
		})
	}
	asking.Wait()
	w.seen = next // never written to again
	w.sightings.replace(next)
}

// reshape makes one change of Raft's configuration, if one is due.
func (w *steward) reshape(ctx context.Context) {
	index := w.machine.voters.Load() // first, so that a change that is not seen is refused
	c, ok := plan(w.picture(time.Now()))
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err := w.make(ctx, c, index)
	w.account(err)
	if err != nil {
		w.config.Logger.Warn("a change of the controllers has failed", "change", string(c.action), "controller", c.id, "why", c.why, "err", err)
		return
	}
	w.config.Logger.Info("changed the controllers", "change", string(c.action), "controller", c.id, "address", c.address, "why", c.why)
}

// account notes how a change went: after one that failed there is a rest, twice as long each time.
func (w *steward) account(err error) {
	if err == nil {
		w.rest = 0
		return
	}
	w.rest = min(max(2*w.rest, w.config.StewardInterval), maxRest)
	w.until = time.Now().Add(w.rest)
}

// picture returns what there is to plan from.
func (w *steward) picture(now time.Time) picture {
	state := w.State()
	p := picture{self: w.config.ID}
	cluster, _ := state.Cluster()
	for _, ctl := range cluster.Controllers {
		p.wanted = append(p.wanted, site{ctl.ID, netip.AddrPortFrom(ctl.Address, ctl.Ports.Control).String()})
	}
	for _, v := range w.voters() {
		s := server{site: site{string(v.ID), string(v.Address)}, voter: v.Suffrage == raft.Voter}
		switch {
		case s.id == w.config.ID:
			s.alive, s.current, s.steady = true, true, true
		case w.config.Peer == nil:
			s.alive = true // nobody asked
		default:
			seen := w.seen[s.id]
			s.alive = seen.alive(now)
			s.dead = !s.alive && !seen.since.IsZero() && seen.silent(now) >= w.config.SilentFor
			s.current = !seen.current.IsZero() && seen.stats.Format >= state.Format()
			s.steady = s.current && now.Sub(seen.current) >= w.config.StableFor
		}
		p.given = append(p.given, s)
	}
	return p
}

// make makes a change, if the last change of Raft's configuration is still the one at index.
func (w *steward) make(ctx context.Context, c change, index uint64) error {
	id, address := raft.ServerID(c.id), raft.ServerAddress(c.address)
	ask := func() raft.Future {
		switch {
		case c.action == addLearner, c.action == readdress && !c.voter:
			return w.raft.AddNonvoter(id, address, index, changeTimeout)
		case c.action == giveVote, c.action == readdress:
			return w.raft.AddVoter(id, address, index, changeTimeout)
		case c.action == takeVote:
			return w.raft.DemoteVoter(id, index, changeTimeout)
		default:
			return w.raft.RemoveServer(id, index, changeTimeout)
		}
	}
	if c.action == handOver {
		return w.Transfer(ctx, c.id)
	}
	return w.settle(ctx, ask)
}

// settle waits for a future, which ask may take its time to return, until ctx ends.
func (s *Store) settle(ctx context.Context, ask func() raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- s.await(ask()) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// raiseFormat raises the format of entries and snapshots to the newest that all controllers have said to understand.
func (w *steward) raiseFormat(ctx context.Context) {
	state := w.State()
	cluster, ok := state.Cluster()
	if !ok || len(cluster.Controllers) != len(w.others())+1 {
		return
	}
	format := w.config.Format
	for _, ctl := range cluster.Controllers {
		if ctl.ID == w.config.ID {
			continue
		}
		seen, ok := w.seen[ctl.ID]
		if !ok || seen.missed {
			return
		}
		format = min(format, seen.stats.Format)
	}
	if format <= state.Format() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	_, err := w.Propose(ctx, fleet.Entry{
		Command: fleet.SetFormat{Format: format}, ID: rand.Text(), At: time.Now().UTC(),
		Who: "controller/" + w.config.ID, Why: "every controller understands it",
	})
	w.account(err)
	if err != nil {
		w.config.Logger.Warn("the format of the state was not raised", "format", format, "err", err)
		return
	}
	w.config.Logger.Info("raised the format of the state", "format", format)
}

// watchOver helps the followers that are stuck.
func (w *steward) watchOver(ctx context.Context) {
	first, err := w.journal.FirstIndex()
	if err != nil {
		return // the disk says why itself
	}
	dogs := map[string]*watchdog{}
	for _, v := range w.others() {
		id := string(v.ID)
		dogs[id] = cmp.Or(w.dogs[id], new(watchdog))
		what := dogs[id].look(w.seen[id], first, time.Now(), w.config.StuckFor)
		if what == wait {
			continue
		}
		log := w.config.Logger.With("controller", id, "lag", w.seen[id].lag())
		if heir, ok := w.successor(id); what == resign && ok && !w.resigned {
			w.resigned = true
			log.Warn("a controller answers but gets no entries, even on new connections; another shall lead", "leader", heir)
			ctx, cancel := context.WithTimeout(ctx, changeTimeout)
			if err := w.Transfer(ctx, heir); err != nil {
				log.Warn("leadership was not handed over", "err", err)
			}
			cancel()
			continue
		}
		log.Warn("a controller answers but gets no entries; its connections are made anew")
		w.config.Stream.hangUp(v.Address)
	}
	w.dogs = dogs
}

// successor returns a voter that could lead in this controller's place, other than the one with that id.
func (w *steward) successor(not string) (string, bool) {
	for _, s := range w.picture(time.Now()).given {
		if s.voter && s.current && s.id != not && s.id != w.config.ID {
			return s.id, true
		}
	}
	return "", false
}
