package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeSet(g *global) *cobra.Command {
	c := newSet(g, nodes())
	c.Short = "Change nodes, all or none"
	c.Long = `Change nodes, all or none. What no flag names stays as it is, and what is given as '' or UNSET is taken
away, so that the node's profiles hold. For several nodes the addresses that --ip and --ipmiaddr give
are those of the first: the others count up from them, past the network's own address, its broadcast
address and its gateway.

The command says what changed, alike nodes in one line, and what it takes to become effective on a
node that runs: a refresh of its runtime overlays, or a reboot. It does not ask, however many nodes
they are: --dry-run shows it before, nothing reboots by it, and samara rollback takes it back.`
	c.Example = `  samara node set 'n[001-100]' --image debian
  samara node set '@rack3,!n7' --profile default,gpu --dry-run
  samara node set '&profile=gpu' --kernelargs quiet,nouveau.modeset=0 -m 'the new driver'
  samara node set 'n[001-100]' --ipmiaddr 10.2.0.1 --ipmiuser root --ipmipass secret
  samara node set n1 --netname ib0 --type infiniband --netdev ib0 --ip 10.3.0.1
  samara node set n1 --netdel ib0`
	return c
}

func newProfileSet(g *global) *cobra.Command {
	c := newSet(g, profiles())
	c.Short = "Change profiles, all or none"
	c.Long = `Change profiles, all or none. What no flag names stays as it is, and what is given as '' or UNSET is
taken away. The command says what changed, and what becomes of the nodes that use the profiles.`
	c.Example = `  samara profile set default --image debian --kernelargs quiet
  samara profile set gpu --profile default --tagadd role=compute --dry-run
  samara profile set default --netmask 255.255.0.0 --gateway 10.1.0.254`
	return c
}

// newSet returns the verb set of a noun, without its texts.
func newSet(g *global, of noun) *cobra.Command {
	var o fieldFlags
	var change api.ChangeOptions
	c := &cobra.Command{
		Use:               "set " + of.several,
		Aliases:           []string{"modify"},
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: of.complete(g, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.checkGone(c); err != nil {
				return err
			}
			if !o.given() && len(o.gone) == 0 {
				return usagef("%s set: no flag says what to change; samara %s set --help lists them", of.kind, of.kind)
			}
			return g.alter(c, of, args[0], change, func(ctx context.Context, client *api.Client, objects []fleet.Object) (fleet.Edit, error) {
				all, err := o.assignments(ctx, client, len(objects))
				if err != nil {
					return fleet.Edit{}, err
				}
				return fleet.Edit{Puts: objects}, assignTo(objects, all)
			})
		},
	}
	o.add(c, g, of)
	addGone(c)
	changeFlags(c, &change)
	acceptYes(c)
	return c
}

// addGone adds the flags that take parts and keys away.
func addGone(c *cobra.Command) {
	f := c.Flags()
	f.StringSlice("tagdel", nil, "`keys` of tags to take away")
	f.StringSlice("nettagdel", nil, "`keys` of the interface's tags to take away")
	f.StringSlice("ipmitagdel", nil, "`keys` of the BMC's tags to take away")
	f.StringSlice("netdel", nil, "`names` of interfaces to take away")
	f.Bool("drop-interface", false, "take away the interface that --netname names")
	f.StringSlice("diskdel", nil, "`paths` of disks to take away")
	f.StringSlice("partdel", nil, "`labels` of partitions to take away, of the disk of --diskname")
	f.StringSlice("fsdel", nil, "`paths` of the block devices of filesystems to take away")
}

// checkGone reads the flags of addGone.
func (o *fieldFlags) checkGone(c *cobra.Command) error {
	for _, one := range []struct{ flag, path string }{
		{"tagdel", "tags.*"}, {"nettagdel", "interfaces.*.tags.*"}, {"ipmitagdel", "bmc.tags.*"}, {"netdel", "interfaces.*"},
		{"diskdel", "disks.*"}, {"partdel", "disks.*.partitions.*"}, {"fsdel", "filesystems.*"},
	} {
		words, err := c.Flags().GetStringSlice(one.flag)
		if err != nil || len(words) == 0 {
			continue
		}
		o.gone = append(o.gone, goneFlag{one.flag, words, func(word string) (string, error) { return o.partPath(one.flag, one.path, word) }})
	}
	if drop, err := c.Flags().GetBool("drop-interface"); err == nil && drop {
		for _, v := range o.all {
			if v.flag != "" && strings.HasPrefix(v.field.Path, "interfaces.") {
				return usagef("--drop-interface goes without --%s", v.flag)
			}
		}
		o.gone = append(o.gone, goneFlag{"drop-interface", []string{o.net}, func(word string) (string, error) { return o.partPath("netdel", "interfaces.*", word) }})
	}
	return nil
}

// partPath returns the path of a part or a key with that name.
func (o *fieldFlags) partPath(flag, path, name string) (string, error) {
	names := []string{name}
	switch {
	case strings.HasPrefix(path, "interfaces.*."):
		names = []string{o.net, name}
	case strings.HasPrefix(path, "disks.*.") && o.disk == "":
		return "", usagef("--%s: --diskname is missing, which says of what", flag)
	case strings.HasPrefix(path, "disks.*."):
		names = []string{o.disk, name}
	}
	return fleet.PathOf(fleet.Field{Path: path}, names...), nil
}
