package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newStatus(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how the cluster is, and what to do about it",
		Long: `Say how the cluster is, and what to do about it. Exit status 0 says that a controller answered, not
that all is well: -o json has the problems for programs.`,
		Example: `  samara status
  samara status -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				s, err := client.Status(ctx)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: s, text: func(w io.Writer) error { return writeStatus(w, s, time.Now()) }})
			})
		},
	}
}

// writeStatus prints how the cluster is, its controllers if there are several, and what is wrong.
func writeStatus(w io.Writer, s api.Status, now time.Time) error {
	t := statusTable(s)
	if err := t.write(w); err != nil {
		return err
	}
	if len(s.Controllers) > 1 {
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
		t := controllerTable(s.Controllers, now)
		if err := t.write(w); err != nil {
			return err
		}
	}
	return writeRemarks(w, s, "all is well\n")
}

func statusTable(s api.Status) table {
	leader := s.Leader + " leads"
	switch {
	case s.Leader == "":
		leader = "nobody leads"
	case s.Leader == s.ID:
		leader = "it leads"
	}
	quorum := "changes are taken"
	if !s.Quorum {
		quorum = "no quorum: changes are refused, known nodes still boot"
	}
	var t table
	t.add("cluster", orDash(s.Cluster))
	t.add("controller", fmt.Sprintf("%s, %s, samara %s, up %s", s.ID, leader, s.Version, span(s.Uptime)))
	t.add("revision", fmt.Sprintf("%d, %s", s.Revision, quorum))
	if len(s.Controllers) > 0 {
		t.add("quorum", ballotOf(s.Controllers).String())
	}
	if mixed := versions(s.Controllers); mixed != "" {
		t.add("versions", mixed)
	}
	t.add("nodes", nodeCounts(s.Nodes))
	t.add("images", fmt.Sprintf("%s, %d blobs, %s; %s of %s free", count(s.Images, "version"), s.Blobs.Count, size(s.Blobs.Bytes), size(s.Disk.Free), size(s.Disk.Size)))
	if len(s.Controllers) > 1 {
		t.add("replicas", replication(s.Controllers))
	}
	t.add("boot", fmt.Sprintf("%d DHCP requests, %d answers, %d malformed, %d of unknown machines; %d TFTP files, %d HTTP requests",
		s.Boot.Requests, s.Boot.Answers, s.Boot.Malformed, s.Boot.Unknown, s.Boot.TFTP, s.Boot.HTTP))
	t.add("swarm", fmt.Sprintf("%s seeded, %s, %s sent to nodes by this controller", count(s.Seeding.Torrents, "blob"), count(s.Seeding.Peers, "peer"), size(s.Seeding.OriginBytes)))
	t.add("mesh", count(s.Members, "member")+" alive")
	return t
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// nodeCounts writes "12: 10 ready, 1 kernel, 1 failing": the good ones first, then by phase, then the others.
func nodeCounts(states map[string]int) string {
	total := 0
	var parts []string
	for _, state := range slices.SortedFunc(maps.Keys(states), func(a, b string) int {
		if d := fleet.Phase(b).Order() - fleet.Phase(a).Order(); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	}) {
		total += states[state]
		parts = append(parts, fmt.Sprintf("%d %s", states[state], state))
	}
	if total == 0 {
		return "none"
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(parts, ", "))
}
