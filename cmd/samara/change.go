package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
)

// changeFlags adds the flags of every command that changes something.
func changeFlags(c *cobra.Command, o *api.ChangeOptions) {
	dryRunFlag(c, &o.DryRun)
	whyFlag(c, &o.Why)
	c.Flags().Var((*conditions)(&o.If), "if", "only if this still holds: `KIND/NAME@REVISION`, such as node/n1@1200; @0 is for what must not exist (repeatable)")
	c.Flags().Var((*sinceRevision)(&o.If), "if-revision", "only if nobody has changed any configuration since `revision`, which what you saw was at")
}

// sinceRevision is a flag for the condition that nobody has changed the configuration since a revision.
type sinceRevision []fleet.Condition

func (c *sinceRevision) String() string { return "" }

func (c *sinceRevision) Type() string { return "revision" }

// Set adds the condition.
func (c *sinceRevision) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return errors.New("want a revision, a number as samara status and changes tell it")
	}
	*c = append(*c, api.IfRevision(fleet.Revision(n)))
	return nil
}

// conditions is a flag that may be given several times.
type conditions []fleet.Condition

func (c *conditions) String() string { return strings.Join(mapped(*c, fleet.Condition.String), ",") }

func (c *conditions) Type() string { return "condition" }

// Set adds a condition.
func (c *conditions) Set(s string) error {
	one, err := fleet.ParseCondition(s)
	if err != nil {
		return err
	}
	*c = append(*c, one)
	return nil
}

func dryRunFlag(c *cobra.Command, dry *bool) {
	c.Flags().BoolVar(dry, "dry-run", false, "say what would change, and change nothing")
}

func whyFlag(c *cobra.Command, why *string) {
	c.Flags().StringVarP(why, "why", "m", "", "`reason` for the audit record")
}

// confirmFlag adds --yes.
func confirmFlag(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}

// acceptYes adds --yes to a command that does not ask: nothing is lost by it that a rollback does not bring back, and no
// node reboots. Warewulf's command of that name asks, and scripts answer it in advance.
func acceptYes(c *cobra.Command) {
	var yes bool
	confirmFlag(c, &yes)
	c.Flags().Lookup("yes").Usage = "taken for the sake of scripts for wwctl: nothing is asked anyway"
}

// change asks for a change and prints what it did.
func (g *global) change(ctx context.Context, out io.Writer, do func(context.Context, *api.Client) (api.Change, error)) error {
	if err := g.checkOutput(false); err != nil {
		return err
	}
	return g.ask(ctx, func(ctx context.Context, c *api.Client) error {
		ch, err := do(ctx, c)
		if err != nil {
			return err
		}
		return g.print(out, view{data: ch, text: func(w io.Writer) error { return writeChange(w, ch) }})
	})
}

// writeChange prints a change.
func writeChange(w io.Writer, ch api.Change) error {
	lines := changeLines(ch.Changed, ch.DryRun)
	if len(lines) == 0 {
		lines = []string{"nothing to change"}
	}
	for _, e := range untold(ch.Changed, ch.Effects) {
		lines = append(lines, printable("by profiles, node "+hostlist.Fold(e.Nodes)+fields(e.Fields)+needs(e.Fields)))
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// A changeGroup is differences that are told in one line.
type changeGroup struct {
	head string
	all  []api.Difference
	told bool // with fields
}

// maxAlike is how many objects that differ in their own addresses alone have a line each.
const maxAlike = 4

// changeLines writes a line for each kind of difference, with the names of alike objects folded.
func changeLines(changed []api.Difference, dry bool) []string {
	verbs := map[string]string{"add": "added", "set": "set", "delete": "deleted"}
	if dry {
		verbs = map[string]string{"add": "would add", "set": "would set", "delete": "would delete"}
	}
	own := ownFields{}
	var order []string
	alike := map[string]*changeGroup{}
	for _, d := range changed {
		g := &changeGroup{head: verbs[d.Action] + " " + d.Kind + " ", told: d.Action == "set" || d.Action == "add" && dry}
		key := g.head
		if g.told {
			key += "\x00" + own.shape(d)
		}
		if alike[key] == nil {
			order = append(order, key)
			alike[key] = g
		}
		alike[key].all = append(alike[key].all, d)
	}
	var lines []string
	for _, key := range order {
		lines = append(lines, alike[key].lines(own)...)
	}
	return lines
}

// lines tells the differences of a group, which are alike but for values that each object has for itself.
func (g *changeGroup) lines(own ownFields) []string {
	if !g.told {
		return []string{printable(g.head + g.names(g.all))}
	}
	var order []string
	alike := map[string][]api.Difference{}
	for _, d := range g.all {
		tail := fields(d.Fields)
		if d.Action == "set" {
			tail += needs(d.Fields)
		}
		if alike[tail] == nil {
			order = append(order, tail)
		}
		alike[tail] = append(alike[tail], d)
	}
	if len(order) <= maxAlike {
		return mapped(order, func(tail string) string { return printable(g.head + g.names(alike[tail]) + tail) })
	}
	first, last := ends(g.all)
	merged := slices.Clone(first.Fields)
	for i, f := range merged {
		if own.has(f.Name) {
			merged[i].Was, merged[i].Is = fromTo(f.Was, last.Fields[i].Was), fromTo(f.Is, last.Fields[i].Is)
		}
	}
	tail := fields(merged)
	if first.Action == "set" {
		tail += needs(merged)
	}
	return []string{printable(g.head + g.names(g.all) + tail)}
}

// fromTo writes the first and the last of several values.
func fromTo(first, last string) string {
	if first == last {
		return first
	}
	return first + " … " + last
}

// names returns the names of differences, folded if they are nodes.
func (g *changeGroup) names(of []api.Difference) string {
	names := mapped(of, func(d api.Difference) string { return d.Name })
	if strings.HasSuffix(g.head, "node ") {
		return hostlist.Fold(names)
	}
	return strings.Join(names, ",")
}

// ownFields remembers which fields each node has for itself.
type ownFields map[string]bool

func (o ownFields) has(path string) bool {
	own, known := o[path]
	if !known {
		f, ok := fleet.FieldOf(path)
		own = ok && f.NodeOnly
		o[path] = own
	}
	return own
}

// shape returns what is equal for differences that are alike but for the values of fields that each node has for itself.
func (o ownFields) shape(d api.Difference) string {
	var b strings.Builder
	for _, f := range d.Fields {
		was, is := f.Was, f.Is
		if d.Kind == fleet.ObjectNode && o.has(f.Name) {
			was, is = strconv.FormatBool(was != ""), strconv.FormatBool(is != "")
		}
		b.WriteString(f.Name + "\x00" + was + "\x00" + is + "\x00")
	}
	return b.String()
}

// needs writes what fields need to become effective on a node that runs: "; needs a reboot".
func needs(all []api.Field) string {
	what := ""
	for _, f := range all {
		switch f.Needs {
		case fleet.NeedsReboot.String():
			return "; needs a reboot"
		case fleet.NeedsRefresh.String():
			what = "; needs a refresh"
		}
	}
	return what
}

// fields writes how fields differ: ": image debian -> noble, rack r1".
func fields(all []api.Field) string {
	var parts []string
	for _, f := range all {
		name := strings.TrimPrefix(f.Name, "interfaces.")
		switch {
		case f.Was == "":
			parts = append(parts, name+" "+f.Is)
		case f.Is == "":
			parts = append(parts, "no "+name+" (was "+f.Was+")")
		default:
			parts = append(parts, name+" "+f.Was+" -> "+f.Is)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// confirm asks before something is lost, unless yes is set.
func (g *global) confirm(c *cobra.Command, yes bool, what string) error {
	if yes {
		return nil
	}
	if !g.terminal(c.InOrStdin()) {
		return usagef("%s: -y says that you mean it", what)
	}
	answer, err := newAsker(c.InOrStdin(), c.ErrOrStderr()).line(c.Context(), what+"? [y/N]", "n")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return fmt.Errorf("%s: not confirmed; nothing was changed", what)
	}
	return nil
}
