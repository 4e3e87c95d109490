package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/controller"
)

func newControllerRecover(g *global) *cobra.Command {
	o := controller.RecoverOptions{}
	var yes bool
	c := &cobra.Command{
		Use:   "recover",
		Short: "Let this controller go on alone, where most of the others are lost for good",
		Long: `Let this machine's controller go on alone, where most of the others are lost for good. While a
majority can still be started, start it instead: nothing is lost then. Known nodes boot meanwhile
from every controller that runs.

Choose the surviving controller with the highest revision ("samara status" shows it), stop samara
serve on all of them, and recover on that one. Changes that only the lost ones had are gone. The
others, and any that turns up again, join anew with a token and an empty directory.`,
		Example: `  samara controller recover --dry-run
  samara controller recover --dir /var/lib/samara -y`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if o.Dir, err = filepath.Abs(o.Dir); err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if o.DryRun {
				plan, err := g.recover(c.Context(), o)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: plan, text: func(w io.Writer) error { return writeRecovery(w, "would be", plan.Revision, plan) }})
			}
			return g.recoverAsked(c, o, yes)
		},
	}
	c.Flags().StringVar(&o.Dir, "dir", defaultDir, "`directory` of the controller, which must not run")
	confirmFlag(c, &yes)
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "say what would be done, and change nothing")
	return c
}

// recoverAsked recovers once somebody has seen what that does and said yes, or has said so in advance.
func (g *global) recoverAsked(c *cobra.Command, o controller.RecoverOptions, yes bool) error {
	look := o
	look.DryRun = true
	plan, err := g.recover(c.Context(), look)
	if err != nil {
		return err
	}
	if !yes {
		if err := writeRecovery(c.ErrOrStderr(), "will be", plan.Revision, plan); err != nil {
			return err
		}
	}
	if err := g.confirm(c, yes, "recover cluster "+plan.Cluster+" from controller "+plan.ID+" alone"); err != nil {
		return err
	}
	kept := plan.Revision
	if plan, err = g.recover(c.Context(), o); err != nil {
		return err
	}
	if err := g.print(c.OutOrStdout(), view{data: plan, text: func(w io.Writer) error { return writeRecovery(w, "is", kept, plan) }}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.ErrOrStderr(), "next: systemctl start samara, or samara serve --dir %s; then join further controllers, each with a new samara controller token\n", o.Dir)
	return err
}

// writeRecovery prints what a recovery does. kept is the revision that it begins with.
func writeRecovery(w io.Writer, is string, kept fleet.Revision, p controller.RecoverPlan) error {
	lost := "none"
	if len(p.Lost) > 0 {
		lost = strings.Join(p.Lost, ", ")
	}
	var t table
	t.add("cluster", p.Cluster)
	t.add("controller", fmt.Sprintf("%s, which %s the only one", p.ID, is))
	t.add("revision", fmt.Sprintf("%d; changes after it are lost, if others had any", kept))
	t.add("removed", lost)
	if err := t.write(w); err != nil {
		return err
	}
	return writeSteps(w, p.Steps)
}

// writeSteps prints what is done, in order.
func writeSteps(w io.Writer, steps []string) error {
	var b strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&b, "%3d. %s\n", i+1, printable(s))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
