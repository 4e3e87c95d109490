package linear

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// A watcher follows all changes at one controller, and at others while that one is away.
type watcher struct {
	id    int
	begin fleet.Revision
	lines []api.WatchLine // those with changes, in the order they came
	wrong []error
}

func newWatcher(id int, begin fleet.Revision) *watcher { return &watcher{id: id, begin: begin} }

// run watches until ctx ends, and until it has seen what was written by then.
func (w *watcher) run(ctx context.Context, c *cluster) error {
	first, after := w.id, w.begin
	for {
		client, err := c.client(first)
		if err != nil {
			return err
		}
		err = client.Watch(ctx, api.WatchOptions{After: after}, func(l api.WatchLine) error {
			if l.Revision < after {
				return fmt.Errorf("watch: revision %d came after %d", l.Revision, after)
			}
			after = l.Revision
			if len(l.Changed) > 0 {
				w.lines = append(w.lines, l)
			}
			return nil
		})
		client.Close()
		switch {
		case ctx.Err() != nil:
			return w.finish(c, after)
		case !errors.Is(err, api.ErrTooOld):
			w.wrong = append(w.wrong, fmt.Errorf("it broke off: %w", err))
		}
		// A controller that got a snapshot does not know what came before it; others do.
		first = (first + 1) % controllers
		pause(ctx, time.Second)
	}
}

// finish watches on up to the revision at which the cluster is now.
func (w *watcher) finish(c *cluster, after fleet.Revision) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := c.client(w.id)
	if err != nil {
		return err
	}
	defer client.Close()
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if after >= status.Revision {
		return nil
	}
	seen := errors.New("seen")
	err = client.Watch(ctx, api.WatchOptions{After: after}, func(l api.WatchLine) error {
		if len(l.Changed) > 0 {
			w.lines = append(w.lines, l)
		}
		if l.Revision >= status.Revision {
			return seen
		}
		return nil
	})
	if !errors.Is(err, seen) {
		return fmt.Errorf("watch of controller %d up to revision %d: %w", w.id+1, status.Revision, err)
	}
	return nil
}

// check returns what is wrong with what was seen: a change that does not follow on the one before it, a write that was
// acknowledged and not seen, a sum of changes that is not what stands at the end.
func (w *watcher) check(writes []acknowledged, final map[string]fleet.Node) []error {
	errs := w.wrong
	racks := map[string]string{}
	for i, l := range w.lines {
		if i > 0 && l.Revision <= w.lines[i-1].Revision {
			errs = append(errs, fmt.Errorf("revision %d was told after %d", l.Revision, w.lines[i-1].Revision))
		}
		for _, d := range l.Changed {
			for _, f := range d.Fields {
				if d.Kind != "node" || f.Name != "rack" {
					continue
				}
				if f.Was != racks[d.Name] {
					errs = append(errs, fmt.Errorf("revision %d: %s was in rack %q, and in %q by what was told before", l.Revision, d.Name, f.Was, racks[d.Name]))
				}
				racks[d.Name] = f.Is
			}
		}
	}
	for _, write := range writes {
		// A line may hold what several revisions changed, so the one that reaches it tells of it.
		at := sort.Search(len(w.lines), func(i int) bool { return w.lines[i].Revision >= write.revision })
		if at == len(w.lines) || !slices.ContainsFunc(w.lines[at].Changed, func(d api.Difference) bool { return d.Name == write.node }) {
			errs = append(errs, fmt.Errorf("revision %d: the write of %s to %s was not told", write.revision, write.rack, write.node))
		}
	}
	for _, name := range sortedKeys(racks) {
		if got := final[name].Rack; got != racks[name] && strings.HasPrefix(name, "w") {
			errs = append(errs, fmt.Errorf("%s: the changes lead to rack %q, and it stands in %q", name, racks[name], got))
		}
	}
	return errs[:min(len(errs), 5)]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
