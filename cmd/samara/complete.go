package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
)

// completionTimeout bounds how long a shell may wait for names after a press of Tab.
const completionTimeout = 300 * time.Millisecond

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// names completes an argument with what list returns from the live cluster, unless there are enough arguments already.
// A controller that does not answer completes nothing.
func (g *global) names(enough int, list func(context.Context, *api.Client) ([]string, error)) completion {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= enough {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
		defer cancel()
		var found []string
		if err := g.ask(ctx, func(ctx context.Context, client *api.Client) (err error) {
			client.Consistency = api.Stale
			found, err = list(ctx, client)
			return err
		}); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func nodeNames(ctx context.Context, c *api.Client) ([]string, error) {
	nodes, err := c.SomeNodes(ctx, api.NodeQuery{Written: true})
	return mapped(nodes, func(n api.NodeView) string { return n.Name }), err
}

// byName orders nodes as people count them.
func byName(a, b api.NodeView) int { return hostlist.Compare(a.Name, b.Name) }

func imageNames(ctx context.Context, c *api.Client) ([]string, error) {
	images, err := c.Images(ctx)
	return mapped(images, func(i fleet.Image) string { return i.Name }), err
}

func networkNames(ctx context.Context, c *api.Client) ([]string, error) {
	networks, err := c.Networks(ctx)
	return mapped(networks, func(n fleet.Network) string { return n.Name }), err
}

// mapped returns what f makes of each of in. The result is never nil.
func mapped[T, U any](in []T, f func(T) U) []U {
	out := make([]U, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

// completeFlag completes the values of a flag that c has.
func completeFlag(c *cobra.Command, flag string, f completion) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		c.RunE = func(*cobra.Command, []string) error { return err } // c lacks the flag: no command line of it works
	}
}
