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
	after fleet.Revision  // up to which it has seen everything
	lines []api.WatchLine // those with changes, in the order they came
	wrong []error
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context, c *cluster) error {
	first := w.id
	for {
		client, err := c.client(first)
		if err != nil {
			return err
		}
		err = client.Watch(ctx, api.WatchOptions{After: w.after}, w.see)
		client.Close()
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, api.ErrTooOld):
			w.wrong = append(w.wrong, fmt.Errorf("it broke off: %w", err))
		}
		// A controller that got a snapshot does not know what came before it; others do.
		first = (first + 1) % controllers
		pause(ctx, time.Second)
	}
}

// see takes note of a line.
func (w *watcher) see(l api.WatchLine) error {
	if l.Revision < w.after {
		w.wrong = append(w.wrong, fmt.Errorf("revision %d was told after %d", l.Revision, w.after))
	}
	w.after = l.Revision
	if len(l.Changed) > 0 {
		w.lines = append(w.lines, l)
	}
	return nil
}

// finish watches on up to a revision, once all is over.
func (w *watcher) finish(ctx context.Context, c *cluster, last fleet.Revision) error {
	client, err := c.client(w.id)
	if err != nil {
		return err
	}
	defer client.Close()
	if w.after >= last {
		return nil
	}
	seen := errors.New("seen")
	err = client.Watch(ctx, api.WatchOptions{After: w.after}, func(l api.WatchLine) error {
		if err := w.see(l); err != nil || l.Revision < last {
			return err
		}
		return seen
	})
	if !errors.Is(err, seen) {
		return fmt.Errorf("up to revision %d: %w", last, err)
	}
	return nil
}

// check returns what is wrong with what was seen: a change that does not follow on the one before it, a write that was
// acknowledged and not seen, a sum of changes that is not what stands at the end.
func (w *watcher) check(writes []acknowledged, final map[string]fleet.Node) []error {
	errs := w.wrong
	racks := map[string]string{}
	for _, l := range w.lines {
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
