package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newControllerToken(g *global) *cobra.Command {
	var life time.Duration
	var o api.ChangeOptions
	c := &cobra.Command{
		Use:   "token",
		Short: "Print a token with which one machine may join as a controller",
		Long: `Print a token with which one machine may join as a controller. It works once, and not for long. The
token alone goes to the standard output; until when it holds, and what to do with it, to the
standard error.`,
		Example: `  samara controller token
  samara controller token --for 10m | ssh head2 samara controller join 10.1.0.1 --token -`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if life < time.Second || life > api.MaxTokenLife {
				return usagef("--for %s: want a time such as 1h, at most %s", life, api.MaxTokenLife)
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				t, err := client.AddToken(ctx, life, o)
				if err != nil {
					return err
				}
				if err := g.print(c.OutOrStdout(), view{data: t, text: func(w io.Writer) error {
					_, err := fmt.Fprintln(w, t.Token)
					return err
				}}); err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.ErrOrStderr(), "holds until %s, for one machine\nthere: samara controller join %s --token -\n",
					t.Expires.Local().Format(time.DateTime), whereToJoin(ctx, client))
				return err
			})
		},
	}
	c.Flags().DurationVar(&life, "for", api.DefaultTokenLife, "how long the token holds")
	whyFlag(c, &o.Why)
	return c
}

// whereToJoin returns the address of the controller that answers, as samara controller join takes it.
func whereToJoin(ctx context.Context, client *api.Client) string {
	all, err := client.Controllers(ctx)
	if err != nil {
		return "ADDRESS" // the token is good all the same
	}
	for _, v := range all {
		if v.Self {
			return shortAddress(v.Address)
		}
	}
	return "ADDRESS"
}

// shortAddress leaves the port out if it is the usual one.
func shortAddress(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return "-"
	case a.Port() == fleet.DefaultPorts.Control:
		return a.Addr().String()
	}
	return a.String()
}
