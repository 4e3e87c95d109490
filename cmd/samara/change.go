package main

import (
	"context"
	"fmt"
	"io"
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
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// changeLines writes a line for each kind of difference, with the names of alike objects folded.
func changeLines(changed []api.Difference, dry bool) []string {
	verbs := map[string]string{"add": "added", "set": "set", "delete": "deleted"}
	if dry {
		verbs = map[string]string{"add": "would add", "set": "would set", "delete": "would delete"}
	}
	var order []string
	alike := map[string][]string{}
	for _, d := range changed {
		head, tail := verbs[d.Action]+" "+d.Kind+" ", ""
		if d.Action == "set" || d.Action == "add" && dry {
			tail = fields(d)
		}
		key := head + "\x00" + tail
		if alike[key] == nil {
			order = append(order, key)
		}
		alike[key] = append(alike[key], d.Name)
	}
	lines := make([]string, len(order))
	for i, key := range order {
		head, tail, _ := strings.Cut(key, "\x00")
		names := strings.Join(alike[key], ",")
		if strings.HasSuffix(head, "node ") {
			names = hostlist.Fold(alike[key])
		}
		lines[i] = printable(head + names + tail)
	}
	return lines
}

// fields writes what differs of one object: ": image debian -> noble, rack r1".
func fields(d api.Difference) string {
	var parts []string
	for _, f := range d.Fields {
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
