package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newExplain(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:   "explain NODE",
		Short: "Say how a node would boot, and why not if it would not",
		Long: `Say how a node would boot if it asked now: what its DHCP request is answered, which script and kernel it
gets, what it runs, and who says so. If it would not boot, why not and what to do. Nothing is tried.`,
		Example:           `  samara explain n7`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, nodeNames),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := nodes().one(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				e, err := client.Explain(ctx, name)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: e, text: func(w io.Writer) error { return writeExplanation(w, e) }})
			})
		},
	}
	r.add(c)
	return c
}

func writeExplanation(w io.Writer, e api.Explanation) error {
	var t table
	t.add("node", e.Node)
	t.add("boots", map[bool]string{true: "yes", false: "no"}[e.Boots])
	for _, why := range e.Obstacles {
		t.add("obstacle", why)
	}
	for _, note := range e.Notes {
		t.add("note", note)
	}
	if e.Armed != "" {
		t.add("discovery", e.Armed)
	}
	for _, i := range e.Interfaces {
		t.add("interface", strings.Join(dashes(i.Name, i.MAC.String(), addressText(i.IP), i.Network), "  "))
		if i.Answer != "" {
			t.add("  dhcp", i.Answer)
		}
		for _, script := range i.Scripts {
			t.add("  script", script)
		}
	}
	if e.Image != nil {
		name := e.Image.Name + ":" + strconv.Itoa(e.Image.Version)
		if e.Image.Latest {
			name += ", the newest"
		}
		t.add("image", name)
		t.add("kernel", strings.TrimSpace(e.Image.KernelRelease+" "+e.Image.Arch))
	}
	t.add("arguments", orDash(strings.Join(e.Arguments, " ")))
	if err := t.write(w); err != nil || len(e.Settings) == 0 {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	why := table{head: []string{"FIELD", "VALUE", "SOURCE", "SUPERSEDED"}}
	for _, p := range e.Settings {
		why.add(dashes(provenanceCells(p)...)...)
	}
	return why.write(w)
}
