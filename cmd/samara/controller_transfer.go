package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// leaderPoll is how often a new leader is looked for.
const leaderPoll = 100 * time.Millisecond

func newControllerTransfer(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "transfer [ID]",
		Short: "Let another controller lead",
		Long: `Let another controller lead: the one with that id, or any that has all changes. Changes wait for it,
for less than a second; nothing that boots notices.`,
		Example: `  samara controller transfer
  samara controller transfer head2`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.names(1, controllerIDs),
		RunE: func(c *cobra.Command, args []string) error {
			to := ""
			if len(args) > 0 {
				to = args[0]
				if err := fleet.CheckName("controller", to); err != nil {
					return err
				}
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				before, err := client.Status(ctx)
				if err != nil {
					return err
				}
				began := time.Now()
				if err := client.TransferLeadership(ctx, to); err != nil {
					return err
				}
				now, err := awaitLeader(ctx, client, func(id string) bool {
					return id == to || to == "" && id != "" && id != before.Leader
				})
				if err != nil {
					return err
				}
				took := time.Since(began)
				data := map[string]any{"was": before.Leader, "leader": now, "took_ns": took}
				return g.print(c.OutOrStdout(), view{data: data, text: func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s leads, after %s; %s did before\n", now, took.Round(time.Millisecond), orDash(before.Leader))
					return err
				}})
			})
		},
	}
}

// awaitLeader returns the leader's id as soon as the controller that answers knows one that is wanted.
func awaitLeader(ctx context.Context, client *api.Client, wanted func(string) bool) (string, error) {
	every := time.NewTicker(leaderPoll)
	defer every.Stop()
	for {
		s, err := client.Status(ctx)
		if err != nil {
			return "", fmt.Errorf("look who leads now: %w", err)
		}
		if wanted(s.Leader) {
			return s.Leader, nil
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return "", fmt.Errorf("look who leads now: %w; samara controller list shows it", ctx.Err())
		}
	}
}
