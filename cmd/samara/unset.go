package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeUnset(g *global) *cobra.Command {
	c := newUnset(g, nodes())
	c.Short = "Take away what nodes say themselves"
	c.Long = `Take away what nodes say themselves, so that their profiles hold. A flag names a field; --netname,
--diskname, --partname and --fsname say of what, and alone take away the whole of it.`
	c.Example = `  samara node unset n1 --image --kernelargs
  samara node unset '@rack3' --tag role
  samara node unset n1 --netname ib0 --mtu
  samara node unset n1 --netname ib0`
	return c
}

func newProfileUnset(g *global) *cobra.Command {
	c := newUnset(g, profiles())
	c.Short = "Take away what profiles say"
	c.Long = `Take away what profiles say. A flag names a field; --netname, --diskname, --partname and --fsname say
of what, and alone take away the whole of it.`
	c.Example = `  samara profile unset default --kernelargs
  samara profile unset default,gpu --netname ib0 --dry-run`
	return c
}

// unsetFlags are a flag for each field of a noun, and for the names of keys.
type unsetFlags struct {
	scopes
	fields []fleet.Field
}

// keyFlags returns which fields with keys are unset by which flags.
func keyFlags() map[string]string {
	return map[string]string{"tags.*": "tag", "bmc.tags.*": "ipmitag", "interfaces.*.tags.*": "nettag", "resources.*": "resource"}
}

func (o *unsetFlags) add(c *cobra.Command, of noun) {
	f := c.Flags()
	f.SortFlags = false
	for _, field := range fleet.Fields() {
		if !hasFlag(of, field) {
			continue
		}
		o.fields = append(o.fields, field)
		if name, keyed := keyFlags()[field.Path]; keyed {
			f.StringSlice(name, nil, field.Doc+": `keys`")
			continue
		}
		names := nameOf(field)
		f.BoolP(names.name, names.short, false, field.Doc)
		if names.also != "" {
			f.Bool(names.also, false, "same as --"+names.name)
		}
	}
	o.scopes.add(c)
}

// paths returns what is to be taken away.
func (o *unsetFlags) paths(c *cobra.Command) ([]assignment, error) {
	var out []assignment
	take := func(flag string, field fleet.Field, key ...string) error {
		path, err := o.path(field, key...)
		out = append(out, assignment{flag, path, []string{""}})
		return err
	}
	for _, field := range o.fields {
		if name, keyed := keyFlags()[field.Path]; keyed {
			keys, err := c.Flags().GetStringSlice(name)
			if err != nil {
				return nil, err
			}
			for _, key := range keys {
				if err := take(name, field, key); err != nil {
					return nil, err
				}
			}
			continue
		}
		names := nameOf(field)
		for _, name := range []string{names.name, names.also} {
			if asked, err := c.Flags().GetBool(name); err == nil && asked {
				if err := take(name, field); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(out) == 0 {
		out = o.wholes(c)
	}
	if len(out) == 0 {
		return nil, usagef("%s: no flag says what to take away; %s --help lists them", strings.TrimPrefix(c.CommandPath(), "samara "), c.CommandPath())
	}
	return out, nil
}

// wholes returns the parts that flags name which name no field of them.
func (o *unsetFlags) wholes(c *cobra.Command) []assignment {
	var out []assignment
	take := func(flag, path string, names ...string) {
		out = append(out, assignment{flag, fleet.PathOf(fleet.Field{Path: path}, names...), []string{""}})
	}
	if f := c.Flags(); f.Changed("netname") || f.Changed("interface") {
		take("netname", "interfaces.*", o.net)
	}
	switch {
	case o.part != "" && o.disk != "":
		take("partname", "disks.*.partitions.*", o.disk, o.part)
	case o.disk != "":
		take("diskname", "disks.*", o.disk)
	}
	if o.fs != "" {
		take("fsname", "filesystems.*", o.fs)
	}
	return out
}

// newUnset returns the verb unset of a noun, without its texts.
func newUnset(g *global, of noun) *cobra.Command {
	var o unsetFlags
	var change api.ChangeOptions
	c := &cobra.Command{
		Use:               "unset " + of.several,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: of.complete(g, 1),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := o.paths(c)
			if err != nil {
				return err
			}
			return g.alter(c, of, args[0], change, func(_ context.Context, _ *api.Client, objects []fleet.Object) (fleet.Edit, error) {
				return fleet.Edit{Puts: objects}, assignTo(objects, all)
			})
		},
	}
	o.add(c, of)
	changeFlags(c, &change)
	acceptYes(c)
	return c
}
