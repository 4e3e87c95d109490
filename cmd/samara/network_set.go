package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newNetworkSet(g *global) *cobra.Command {
	var o networkFlags
	var ch api.ChangeOptions
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a network",
		Long:  `Change a network. What no flag names stays as it is. It is refused if the address of a node would no longer fit.`,
		Example: `  samara network set boot --dns 10.1.0.1,10.1.0.2
  samara network set boot --dhcp off`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, networkNames),
		RunE: func(c *cobra.Command, args []string) error {
			changed := c.Flags().Changed
			if !anyOf(changed, "subnet", "gateway", "dns", "domain", "discovery", "dhcp") {
				return usagef("network set: no flag says what to change; samara network set --help lists them")
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				n, err := client.Network(ctx, args[0])
				if err != nil {
					return api.Change{}, err
				}
				// n keeps its revision, so that a change by somebody else in between is refused, not undone.
				if err := o.apply(&n, changed); err != nil {
					return api.Change{}, err
				}
				return client.SetNetwork(ctx, n, ch)
			})
		},
	}
	o.add(c)
	changeFlags(c, &ch)
	acceptYes(c)
	return c
}

func anyOf(holds func(string) bool, names ...string) bool {
	for _, n := range names {
		if holds(n) {
			return true
		}
	}
	return false
}
