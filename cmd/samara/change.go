package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
)

// changeFlags adds the flags of every command that changes something.
func changeFlags(c *cobra.Command, o *api.ChangeOptions) {
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "say what would change, and change nothing")
	c.Flags().StringVar(&o.Why, "why", "", "`reason` for the audit record")
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

// writeChange prints a change in a line for each kind of difference, with the names of alike objects folded.
func writeChange(w io.Writer, ch api.Change) error {
	verbs := map[string]string{"add": "added", "set": "set", "delete": "deleted"}
	if ch.DryRun {
		verbs = map[string]string{"add": "would add", "set": "would set", "delete": "would delete"}
	}
	var order []string
	alike := map[string][]string{}
	for _, d := range ch.Changed {
		head, tail := verbs[d.Action]+" "+d.Kind+" ", ""
		if d.Action == "set" || d.Action == "add" && ch.DryRun {
			tail = fields(d)
		}
		key := head + "\x00" + tail
		if alike[key] == nil {
			order = append(order, key)
		}
		alike[key] = append(alike[key], d.Name)
	}
	var b strings.Builder
	for _, key := range order {
		head, tail, _ := strings.Cut(key, "\x00")
		names := strings.Join(alike[key], ",")
		if strings.HasSuffix(head, "node ") {
			names = hostlist.Fold(alike[key])
		}
		b.WriteString(printable(head+names+tail) + "\n")
	}
	if len(order) == 0 {
		b.WriteString("nothing to change\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
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
