package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// How long an import waits for other controllers.
const (
	stragglers  = 10 * time.Second // for those that still fetch when a majority holds everything
	standstill  = 3 * time.Second  // of those; they are not waited for
	pullAgain   = 2 * time.Second  // before a controller that failed is asked once more
	pullTries   = 3
	pullsEnd    = time.Hour // after which what stragglers fetch is left to their repair
	tellPulling = 200 * time.Millisecond
)

// A replication has other controllers fetch blobs that this one holds.
type replication struct {
	cluster fleet.Cluster
	self    string
	request api.PullRequest

	mu    sync.Mutex
	pulls map[string]*pulling // by the controller's id
}

// A pulling is how far one controller has come.
type pulling struct {
	have  int64
	ended bool
	err   error
}

// majority is how many of n controllers must hold an image version before it is published.
func majority(n int) int { return n/2 + 1 }

// answering refuses what needs a majority while fewer controllers answer. It is cheap, and called before work that is not.
func (i *images) answering(what string) error {
	cluster, _ := i.log.State().Cluster()
	need := majority(len(cluster.Controllers))
	answer, silent := 0, []string{}
	others := i.others()
	for _, c := range cluster.Controllers {
		at := slices.IndexFunc(others, func(o otherController) bool { return o.ID == c.ID })
		if c.ID == i.self.ID || at >= 0 && others[at].Alive {
			answer++
		} else {
			silent = append(silent, c.ID)
		}
	}
	if answer >= need {
		return nil
	}
	return fmt.Errorf("%s: %w: %d of %d controllers answer, and %d must hold a version before it is published; %s",
		what, api.ErrUnavailable, answer, len(cluster.Controllers), need, bringBack(silent))
}

func bringBack(ids []string) string {
	return fmt.Sprintf("start samara on %s, or remove from the cluster those that are gone for good (samara controller remove)", strings.Join(ids, ", "))
}

// replicate has every other live controller fetch blobs that this one holds, and returns the controllers that then hold
// them all, this one included. It returns as soon as a majority does and the rest had a moment more; the rest goes on. A
// caller that does not publish the blobs calls stop.
func (i *images) replicate(ctx context.Context, image string, blobs api.PullBlobs, progress func(api.Progress)) (holders []string, stop func(), err error) {
	cluster, _ := i.log.State().Cluster()
	r := &replication{cluster: cluster, self: i.self.ID, pulls: map[string]*pulling{},
		request: api.PullRequest{From: i.self.ID, Image: image, Blobs: blobs}}
	var ask []otherController
	for _, c := range living(i.others()) {
		if _, member := cluster.Controller(c.ID); member {
			ask = append(ask, c)
			r.pulls[c.ID] = &pulling{}
		}
	}
	pulls, stop := context.WithTimeout(i.life, pullsEnd)
	ended := make(chan struct{}, len(ask))
	left := atomic.Int64{}
	left.Store(int64(len(ask)))
	for _, c := range ask {
		i.spawn(func() {
			r.pull(pulls, c)
			ended <- struct{}{}
			if left.Add(-1) == 0 {
				stop()
			}
		})
	}
	holders, err = r.wait(ctx, i.life, ended, progress)
	if err != nil || len(ask) == 0 {
		stop()
	}
	return holders, stop, err
}

// spawn runs f beside everything else, unless i has ended.
func (i *images) spawn(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.life.Err() == nil {
		i.pulls.Go(f)
	}
}

// pull asks one controller, more than once if need be.
func (r *replication) pull(ctx context.Context, c otherController) {
	p := r.pulls[c.ID]
	var err error
	for range pullTries {
		err = c.Client.Pull(ctx, r.request, func(now api.Progress) {
			r.mu.Lock()
			defer r.mu.Unlock()
			p.have = now.Done
		})
		if err == nil || ctx.Err() != nil || fleet.IsRefusal(err) {
			break
		}
		again := time.NewTimer(pullAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.ended, p.err = true, err
}

// wait returns once a majority holds the blobs and the others ended or had their moment, or once no majority can.
func (r *replication) wait(ctx, life context.Context, ended <-chan struct{}, progress func(api.Progress)) ([]string, error) {
	tell := time.NewTicker(tellPulling)
	defer tell.Stop()
	need := majority(len(r.cluster.Controllers))
	var enough, moved time.Time // when a majority had it, when another byte arrived
	for done := int64(-1); ; {
		holders, under, now := r.now()
		if len(r.pulls) > 0 {
			progress(now)
		}
		at := time.Now()
		if now.Done != done {
			done, moved = now.Done, at
		}
		switch {
		case len(holders) < need && under == 0:
			return nil, r.tooFew(holders, need)
		case len(holders) < need:
		case under == 0:
			return holders, nil
		case enough.IsZero():
			enough = at
		case at.Sub(enough) >= stragglers, at.Sub(moved) >= standstill:
			return holders, nil
		}
		select {
		case <-ended:
		case <-tell.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-life.Done():
			return nil, fmt.Errorf("%w: this controller is shutting down", api.ErrUnavailable)
		}
	}
}

// now returns who holds the blobs, how many still fetch, and both for a person.
func (r *replication) now() (holders []string, under int, p api.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := int64(0)
	for _, b := range listOf(r.request.Blobs) {
		total += b.Size
	}
	p = api.Progress{Step: stepReplicate, Total: total * int64(len(r.pulls))}
	for _, c := range r.cluster.Controllers {
		pull := r.pulls[c.ID]
		switch {
		case c.ID == r.self:
			holders = append(holders, c.ID)
		case pull == nil:
		case !pull.ended:
			under++
			p.Done += pull.have
		case pull.err == nil:
			holders = append(holders, c.ID)
			p.Done += total
		}
	}
	p.Note = fmt.Sprintf("%d of %d controllers hold it", len(holders), len(r.cluster.Controllers))
	return holders, under, p
}

// tooFew says which controllers do not hold the blobs, and why.
func (r *replication) tooFew(holders []string, need int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var why []error
	for _, c := range r.cluster.Controllers {
		switch pull := r.pulls[c.ID]; {
		case c.ID == r.self || pull != nil && pull.err == nil:
		case pull == nil:
			why = append(why, fmt.Errorf("controller %s does not answer", c.ID))
		default:
			why = append(why, fmt.Errorf("controller %s: %w", c.ID, pull.err))
		}
	}
	if len(why) == 0 {
		why = append(why, errors.New("this controller is no longer one of the cluster"))
	}
	// What went wrong on others is text here: none of it says that this change may have been made.
	return fmt.Errorf("%w: only %d of %d controllers hold it, and %d must before it is published: %v",
		api.ErrUnavailable, len(holders), len(r.cluster.Controllers), need, joined(why))
}
