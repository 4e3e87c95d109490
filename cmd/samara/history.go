package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newHistory(g *global) *cobra.Command {
	var r reading
	var before string
	var limit int
	c := &cobra.Command{
		Use:     "history",
		Aliases: []string{"log"},
		Short:   "List changes of the configuration and of users: who, when, why",
		Long: `List changes of the configuration and of users, the latest first: the revision that each made, when, who asked for it, what it
changed, and the message of -m. The cluster remembers the latest thousand. "samara diff" tells a change
field by field, "samara rollback" takes changes back.`,
		Example: `  samara history -n 5
  samara history --before 1200 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			rev, err := parseRevision(before)
			if err != nil {
				return err
			}
			if limit < 1 || limit > fleet.MaxHistory {
				return usagef("-n %d: want 1 to %d", limit, fleet.MaxHistory)
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				entries, err := client.History(ctx, api.HistoryQuery{Before: rev, Limit: limit})
				if err != nil {
					return err
				}
				rows := func() table { return historyTable(entries) }
				return g.print(c.OutOrStdout(), view{data: entries, table: rows, rows: rows,
					names: mapped(entries, func(e api.HistoryEntry) string { return revisionText(e.Revision) })})
			})
		},
	}
	c.Flags().IntVarP(&limit, "number", "n", 20, "how many `changes` to list")
	c.Flags().StringVar(&before, "before", "", "those before `revision`")
	r.add(c)
	return c
}

func revisionText(rev fleet.Revision) string { return strconv.FormatUint(uint64(rev), 10) }

func historyTable(entries []api.HistoryEntry) table {
	t := table{head: []string{"REVISION", "AT", "WHO", "WHAT", "WHY"}}
	for _, e := range entries {
		what := mapped(e.Changed, func(n api.ChangedNames) string { return summary(n) })
		if e.User != nil {
			what = append(what, fmt.Sprintf("%s user %s (%s)", e.User.Action, e.User.Name, e.User.Role))
		}
		t.add(dashes(revisionText(e.Revision), e.At.Local().Format(time.DateTime), e.Who, strings.Join(what, "; "), e.Why)...)
	}
	return t
}

// maxSummed is how many names that do not fold one row of a history shows.
const maxSummed = 5

// summary writes what was done to objects of one kind: "set node n[1-6]".
func summary(n api.ChangedNames) string {
	names, more := n.Names, n.More
	if n.Kind != fleet.ObjectNode && len(names) > maxSummed {
		more += len(names) - maxSummed
		names = names[:maxSummed]
	}
	text := strings.TrimSpace(n.Action + " " + n.Kind + " " + namesOf(n.Kind, names))
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
