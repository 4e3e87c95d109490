package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/config"
	"github.com/samara-hpc/samara/internal/warewulf"
)

func newImportHosts(g *global) *cobra.Command {
	var only string
	i := importing{global: g}
	c := &cobra.Command{
		Use:   "hosts FILE",
		Short: "Take nodes and their addresses from a hosts file",
		Long: `Take nodes and their addresses from a file in the form of /etc/hosts. A name such as n1-ib0, where n1 has a line
too, is another interface of n1; one such as n1-bmc or n1-ipmi is its BMC. Of nodes that exist, only what the
file says is changed. Nodes that are new use the profile named default, if there is one.`,
		Example: `  samara import hosts /etc/hosts --only 'n[001-100]' --dry-run`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			i.command = c
			var names []string
			if only != "" {
				var err error
				if names, err = expand(only); err != nil {
					return err
				}
			}
			return i.run(func() (warewulf.Site, error) {
				f, err := readInput(c, args[0], config.MaxSize)
				if err != nil {
					return warewulf.Site{}, err
				}
				return warewulf.ReadHosts(f.Name, f.Data, names)
			}, i.upon)
		},
	}
	i.flags(c)
	c.Flags().StringVar(&only, "only", "", "pass over all but `NODES`")
	return c
}

func newImportCSV(g *global) *cobra.Command {
	i := importing{global: g}
	c := &cobra.Command{
		Use:   "csv FILE",
		Short: "Take nodes from a table of comma-separated values",
		Long: `Take nodes from a table of comma-separated values. The first row names the columns: name, and fields of nodes such as
mac, ip, rack, tags.owner or interfaces.ib0.ip. An empty cell says nothing. Of nodes that exist, only what
the table says is changed. Nodes that are new use the profile named default, if there is one and the
table has no profiles.`,
		Example: `  samara import csv delivery.csv -m 'rack 7'
  samara node list --fields rack,interfaces.default.mac -o csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			i.command = c
			return i.run(func() (warewulf.Site, error) {
				f, err := readInput(c, args[0], config.MaxSize)
				if err != nil {
					return warewulf.Site{}, err
				}
				return warewulf.ReadCSV(f.Name, f.Data)
			}, i.upon)
		},
	}
	i.flags(c)
	return c
}

// upon makes the edit that adds what was read of nodes to what they say already.
func (i *importing) upon(ctx context.Context, client *api.Client) error {
	now, err := client.Configuration(ctx, 0)
	if err != nil {
		return err
	}
	i.options.If = append(i.options.If, api.IfRevision(now.Revision))
	present := make(map[string]fleet.Node, len(now.Nodes))
	for _, n := range now.Nodes {
		present[n.Name] = n
	}
	shared := slices.ContainsFunc(now.Profiles, func(p fleet.Profile) bool { return p.Name == defaultProfile })
	for _, read := range i.site.Documents.Nodes {
		n, known := present[read.Name]
		if !known {
			n = fleet.Node{Name: read.Name}
			if shared {
				n.Profiles = []string{defaultProfile}
			}
		}
		for path, value := range read.Values() {
			if err := n.Set(path, value); err != nil {
				return fmt.Errorf("node %s: %w", n.Name, err)
			}
		}
		if read.BMC.Password != nil {
			n.BMC.Password = read.BMC.Password
		}
		i.edit.Puts = append(i.edit.Puts, fleet.Object{Node: &n})
	}
	return nil
}
