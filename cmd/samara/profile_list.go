package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newProfileList(g *global) *cobra.Command {
	var r reading
	var o listFlags
	c := &cobra.Command{
		Use:     "list [PROFILES]",
		Aliases: []string{"ls"},
		Short:   "List profiles",
		Long:    `List profiles and what they say themselves, without what the profiles that they use say.`,
		Example: `  samara profile list
  samara profile list default,gpu -a
  samara profile list -o yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.words(1, profileNames),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			var names []string
			if len(args) > 0 {
				var err error
				if names, err = profileList(args[0]); err != nil {
					return err
				}
			}
			otherwise := listing{[]string{"PROFILES", "IMAGE", "COMMENT"}, func(p *listed) [][]string {
				return [][]string{{strings.Join(p.profiles, ","), p.settings.Image.String(), p.comment}}
			}}
			if o.all {
				otherwise = ownListing()
			}
			shown, err := o.listing(otherwise)
			if err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				views, err := client.Profiles(ctx)
				if err != nil {
					return err
				}
				all, err := pickProfiles(views, names)
				if err != nil {
					return err
				}
				return g.printList(c.OutOrStdout(), profiles(), all, shown, o.fields)
			})
		},
	}
	r.add(c)
	o.add(c)
	return c
}

// pickProfiles returns the profiles with those names, in their order; nil is all.
func pickProfiles(views []api.ProfileView, names []string) ([]listed, error) {
	if names == nil {
		names = mapped(views, func(p api.ProfileView) string { return p.Name })
	}
	out := make([]listed, 0, len(names))
	for _, name := range names {
		at := slices.IndexFunc(views, func(p api.ProfileView) bool { return p.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("profile %s: %w", name, fleet.ErrNotFound)
		}
		p := &views[at]
		out = append(out, listed{name: name, comment: p.Comment, profiles: p.Profiles, settings: &p.Settings, values: p.Profile.Values(), view: *p})
	}
	return out, nil
}
