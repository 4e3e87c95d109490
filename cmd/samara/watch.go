package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// watchAgain is how long to wait before a lost watch is taken up again.
const watchAgain = time.Second

func newWatch(g *global) *cobra.Command {
	var after uint64
	c := &cobra.Command{
		Use:   "watch",
		Short: "Print changes as they are made",
		Long: `Print changes as they are made: the revision, and what it added, set or deleted, a line for each kind
of difference. What changes within a moment is told at once, as what it comes to. With --after, what
has changed since that revision comes first; controllers remember the last few thousand. When a
controller is lost, the watch goes on from where it was, with any that answers. With -o json each line
is one of JSON.`,
		Example: `  samara watch
  samara watch --after 1200 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if g.output != "table" && g.output != "json" {
				return usagef("--output %q: a watch has table or json", g.output)
			}
			w := watcher{out: c.OutOrStdout(), said: c.ErrOrStderr(), json: g.output == "json", after: fleet.Revision(after)}
			if err := g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				s, err := client.Status(ctx)
				if w.after == 0 {
					w.after = s.Revision
				}
				return err
			}); err != nil {
				return err
			}
			w.watch = func(ctx context.Context, after fleet.Revision, each func(api.WatchLine) error) error {
				client, err := g.connect()
				if err != nil {
					return err
				}
				defer client.Close()
				return client.Watch(ctx, api.WatchOptions{After: after}, each)
			}
			return w.run(c.Context())
		},
	}
	c.Flags().Uint64Var(&after, "after", 0, "begin with what came after this `revision` (0: with what comes from now on)")
	return c
}

// A watcher prints changes and goes on after the loss of a controller.
type watcher struct {
	watch     func(ctx context.Context, after fleet.Revision, each func(api.WatchLine) error) error
	out, said io.Writer
	json      bool
	after     fleet.Revision // the last that was printed, or that was asked for
	lost      bool           // since the last line
}

// run prints until ctx ends, or until what comes next is not remembered.
func (w *watcher) run(ctx context.Context) error {
	for {
		err := w.watch(ctx, w.after, w.line)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, api.ErrTooOld):
			return fmt.Errorf("%w; look at everything with samara node list and the like, then watch without --after", err)
		case !passing(err):
			return err
		}
		if !w.lost {
			w.lost = true
			if _, err := fmt.Fprintf(w.said, "samara: the watch was interrupted after revision %d: %s; trying again\n", w.after, printable(err.Error())); err != nil {
				return err
			}
		}
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passing reports whether an error is one that another attempt may mend.
func passing(err error) bool {
	return errors.Is(err, api.ErrNoAnswer) || errors.Is(err, api.ErrUnavailable) || errors.Is(err, api.ErrNotLeader)
}

// line prints one change.
func (w *watcher) line(l api.WatchLine) error {
	w.lost, w.after = false, l.Revision
	if len(l.Changed) == 0 {
		return nil // a sign of life
	}
	if w.json {
		b, err := encodeLine(l)
		if err != nil {
			return err
		}
		_, err = w.out.Write(b)
		return err
	}
	for _, text := range changeLines(l.Changed, false) {
		if _, err := fmt.Fprintf(w.out, "%d  %s\n", l.Revision, text); err != nil {
			return err
		}
	}
	return nil
}
