package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// TestWatchGoesOnWhereItWas loses every controller for a while, twice, and at last too many revisions.
func TestWatchGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := func(rev fleet.Revision, names ...string) api.WatchLine {
			l := api.WatchLine{Revision: rev}
			for _, n := range names {
				l.Changed = append(l.Changed, api.Difference{Kind: "node", Name: n, Action: "add"})
			}
			return l
		}
		gone := fmt.Errorf("%w from 10.1.0.1:7600", api.ErrNoAnswer)
		attempts := []struct {
			lines []api.WatchLine
			err   error
		}{
			{[]api.WatchLine{line(3, "n1"), line(4)}, gone},
			{nil, gone},
			{[]api.WatchLine{line(5, "n2", "n3")}, fmt.Errorf("%w: shutting down", api.ErrUnavailable)},
			{nil, fmt.Errorf("revision 5: %w", api.ErrTooOld)},
		}
		var asked []fleet.Revision
		var out, said strings.Builder
		w := watcher{out: &out, said: &said, after: 2, watch: func(_ context.Context, after fleet.Revision, each func(api.WatchLine) error) error {
			attempt := attempts[len(asked)]
			asked = append(asked, after)
			for _, l := range attempt.lines {
				if err := each(l); err != nil {
					t.Fatal(err)
				}
			}
			return attempt.err
		}}
		err := w.run(t.Context())
		if !errors.Is(err, api.ErrTooOld) || !strings.Contains(err.Error(), "samara node list") {
			t.Errorf("run: %v, want ErrTooOld with what to do", err)
		}
		if got, want := fmt.Sprint(asked), "[2 4 4 5]"; got != want {
			t.Errorf("watched after %s, want %s", got, want)
		}
		if got, want := out.String(), "3  added node n1\n5  added node n[2-3]\n"; got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
		want := "samara: the watch was interrupted after revision 4: no answer from 10.1.0.1:7600; trying again\n" +
			"samara: the watch was interrupted after revision 5: unavailable: shutting down; trying again\n"
		if said.String() != want {
			t.Errorf("said %q, want %q", said.String(), want)
		}
	})
}
