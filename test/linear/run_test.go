package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// The load. Clients crowd on a few nodes at a time, for the checker has more to find where they meet, and move on to
// fresh ones, for its work grows steeply with the operations on one.
const (
	clientPace = 100 * time.Millisecond // between two operations of one client
	epoch      = 10 * time.Second       // how long clients stay at some nodes
	crowd      = 5                      // nodes at a time
	raceEvery  = 2 * time.Minute        // between the starts of two races for identities
)

// A run is the load on a cluster and what is noted of it.
type run struct {
	t        *testing.T
	cluster  *cluster
	duration time.Duration
	history  *history
	watchers []*watcher
	nodes    []string       // that clients read and write
	created  fleet.Revision // by which they all are

	mu    sync.Mutex
	wrong []error // what must not happen, whatever is struck
	races int
}

// newRun creates the nodes for a run of that length.
func newRun(t *testing.T, c *cluster, duration time.Duration) *run {
	t.Helper()
	r := &run{t: t, cluster: c, duration: duration, history: newHistory()}
	for i := range crowd * (int(duration/epoch) + 12) {
		r.nodes = append(r.nodes, fmt.Sprintf("w%06d", i))
	}
	client, err := c.client(0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for names := range slices.Chunk(r.nodes, 2000) {
		var nodes []fleet.Node
		for _, name := range names {
			nodes = append(nodes, fleet.Node{Name: name})
		}
		made, err := client.AddNodes(ctx, nodes, api.ChangeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.created = made.Revision
	}
	for i := range controllers {
		r.watchers = append(r.watchers, &watcher{id: i, after: r.created})
	}
	return r
}

// work puts the load on the cluster until ctx ends, and then waits for what was asked.
func (r *run) work(ctx context.Context, g *errgroup.Group) {
	for i := range clients {
		g.Go(func() error { return r.client(ctx, i) })
	}
	for _, w := range r.watchers {
		g.Go(func() error { return w.run(ctx, r.cluster) })
	}
	g.Go(func() error {
		for n := 0; ; n++ {
			next := time.After(raceEvery)
			if err := r.race(ctx, n); err != nil {
				return fmt.Errorf("race %d for identities: %w", n+1, err)
			}
			r.mu.Lock()
			r.races++
			r.mu.Unlock()
			select {
			case <-next:
			case <-ctx.Done():
				return nil
			}
		}
	})
	g.Go(func() error {
		for {
			pause(ctx, 10*time.Second)
			if ctx.Err() != nil {
				return nil
			}
			r.t.Logf("%4.0f s: %d faults, %s", time.Since(r.history.began).Seconds(), r.cluster.struck.Load(), r.history.count())
		}
	})
}

// fault notes what must not happen.
func (r *run) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) < 20 {
		r.wrong = append(r.wrong, err)
	}
}

// current returns the nodes that clients are at.
func (r *run) current() []string {
	at := crowd * int(time.Since(r.history.began)/epoch)
	at = min(at, len(r.nodes)-crowd)
	return r.nodes[at : at+crowd]
}

// client reads and writes until ctx ends.
func (r *run) client(ctx context.Context, id int) error {
	asks, err := r.cluster.client(id % controllers)
	if err != nil {
		return err
	}
	defer asks.Close()
	asks.Consistency = api.Linearizable
	w := &worker{run: r, id: id, asks: asks, known: map[string]fleet.Revision{}}
	for turn := time.NewTicker(clientPace); ; {
		select {
		case <-ctx.Done():
			turn.Stop()
			return nil
		case <-turn.C:
			nodes := r.current()
			w.act(nodes[rand.IntN(len(nodes))])
		}
	}
}

// verify checks what must hold once all is over.
func (r *run) verify(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, err := range r.wrong {
		t.Error(err)
	}
	final, last := verifyReplicas(ctx, t, r.cluster)
	// What stands at the end is read once more, so that nothing acknowledged can be missing from it.
	end := r.history.now()
	for _, node := range r.nodes {
		n, found := final[node]
		if !found {
			t.Errorf("node %s is gone", node)
			continue
		}
		r.history.add(clients, end, operation{node: node}, outcome{rack: n.Rack, revision: n.Revision})
	}
	writes := r.history.writes()
	for _, err := range checkOrder(writes) {
		t.Error(err)
	}
	for _, w := range r.watchers {
		if err := w.finish(ctx, r.cluster, last); err != nil {
			t.Errorf("watch of %s: %v", r.cluster.heads[w.id].Host.ID, err)
		}
		for _, err := range w.check(writes, final) {
			t.Errorf("watch of %s: %v", r.cluster.heads[w.id].Host.ID, err)
		}
	}
	began := time.Now()
	for _, err := range r.history.check(checkLimit*(1+r.duration/(2*time.Minute)), r.cluster.dir) {
		t.Error(err)
	}
	t.Logf("checked in %.1f s: %s; %d faults, %d races for identities", time.Since(began).Seconds(), r.history.count(), r.cluster.struck.Load(), r.races)
	if c := r.history.count(); c.reads == 0 || c.writes == 0 || c.conflicts == 0 || r.races == 0 {
		t.Errorf("the load was none: %s, %d races", c, r.races)
	}
}
