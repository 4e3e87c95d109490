package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeDiscover(g *global) *cobra.Command {
	var o api.ChangeOptions
	var life time.Duration
	var off bool
	c := &cobra.Command{
		Use:   "discover NODES",
		Short: "Let unknown machines become these nodes, one by one",
		Long: `Let unknown machines become these nodes, one by one. Each node needs an address and must not have a
MAC address yet. For the time that --for gives, an unknown machine that asks to boot on a node's
network becomes the first of them that is free, in the order of their names. No two machines become
one node, however many ask at once and whichever controller they ask.

Power the machines on in the order in which they stand, each as soon as the one before shows up in
"samara node list".`,
		Example: `  samara node add 'n[001-040]' --ip 10.1.0.11 --image debian
  samara node discover 'n[001-040]' --for 2h
  samara node discover 'n[001-040]' --off`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.selections(1),
		RunE: func(c *cobra.Command, args []string) error {
			choose, err := nodes().choose(args[0])
			if err != nil {
				return err
			}
			until := time.Time{}
			switch {
			case off && c.Flags().Changed("for"):
				return usagef("--off goes without --for")
			case life <= 0:
				return usagef("--for %s: want a time such as 1h", life)
			case !off:
				until = time.Now().Add(life).UTC().Truncate(time.Second)
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				names, err := choose(ctx, client)
				if err != nil {
					return err
				}
				ch, err := client.Discover(ctx, fleet.ArmDiscovery{Names: names, Until: until}, o)
				if err != nil {
					return err
				}
				if err := g.print(c.OutOrStdout(), view{data: ch, text: func(w io.Writer) error { return writeArmed(w, names, until, ch.DryRun) }}); err != nil || off || o.DryRun {
					return err
				}
				_, err = fmt.Fprintln(c.ErrOrStderr(), "next: power the machines on in order; samara node list shows them coming")
				return err
			})
		},
	}
	c.Flags().DurationVar(&life, "for", time.Hour, "how long")
	c.Flags().BoolVar(&off, "off", false, "no longer")
	changeFlags(c, &o)
	return c
}

func writeArmed(w io.Writer, names []string, until time.Time, dry bool) error {
	would := ""
	if dry {
		would = "would be "
	}
	text := fmt.Sprintf("%s: %snot discovered any more\n", hostlist.Fold(names), would)
	if !until.IsZero() {
		text = fmt.Sprintf("%s: %sdiscovered until %s\n", hostlist.Fold(names), would, clock(until))
	}
	_, err := io.WriteString(w, text)
	return err
}

// clock writes a time of today for people.
func clock(t time.Time) string { return t.Local().Format("15:04") }
