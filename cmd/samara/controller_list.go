package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newControllerList(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List controllers: who leads, who lags, who is dead",
		Long: `List controllers as the one that is asked sees them. ROLE is leader, voter, learner (it receives all
changes and has no vote) or joining. LAG is by how many entries of the log one is behind the leader.
BLOBS is how many of the blobs that images need it holds. What is wrong follows, with what to do.`,
		Example: `  samara controller list
  samara controller list -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				s, err := client.Status(ctx)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{
					data:  s.Controllers,
					names: mapped(s.Controllers, func(v api.ControllerView) string { return v.ID }),
					text:  func(w io.Writer) error { return writeControllers(w, s, time.Now()) },
				})
			})
		},
	}
}

// writeControllers prints a line for each controller, and what is wrong.
func writeControllers(w io.Writer, s api.Status, now time.Time) error {
	t := controllerTable(s.Controllers, now)
	if err := t.write(w); err != nil {
		return err
	}
	return writeRemarks(w, s, "")
}

func controllerTable(all []api.ControllerView, now time.Time) table {
	t := table{head: []string{"ID", "ADDRESS", "ROLE", "LAG", "SEEN", "VERSION", "BLOBS", "DISK"}}
	for _, v := range all {
		t.add(v.ID, shortAddress(v.Address), v.Role, lag(v), seen(v, now), orDash(v.Version), blobs(v), free(v.Disk))
	}
	return t
}

// lag writes by how much a controller is behind, where that means something.
func lag(v api.ControllerView) string {
	if v.Role == api.RoleLeader || v.Role == api.RoleJoining || !v.Alive && v.Lag == 0 {
		return "-"
	}
	return strconv.FormatUint(v.Lag, 10)
}

// seen writes when a controller was last heard of.
func seen(v api.ControllerView, now time.Time) string {
	switch {
	case v.Alive:
		return "now"
	case v.Seen.IsZero():
		return "dead"
	}
	return "dead " + span(now.Sub(v.Seen))
}

// blobs writes how many blobs a controller holds of those it should.
func blobs(v api.ControllerView) string {
	if !v.Alive && v.Blobs+v.BlobsMissing == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", v.Blobs, v.Blobs+v.BlobsMissing)
}

func free(d api.DiskUsage) string {
	if d.Size == 0 {
		return "-"
	}
	return size(d.Free) + " free"
}
