package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/controller"
)

func newRestore(g *global) *cobra.Command {
	o := controller.RestoreOptions{Ports: fleet.DefaultPorts}
	var address string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make this machine the first controller of a cluster that was backed up",
		Long: `Make this machine the first controller of a cluster that was backed up, under the name and the address
that the flags give it. The controllers that the backup knows are left out: join further ones
afterwards, each with an empty directory. Nodes find the cluster again, with its keys, once a
controller answers at an address that they boot from.

Everything is checked before anything is written; --dry-run ends there.`,
		Example: `  samara restore samara.backup --id head1 --address 10.1.0.1 --dry-run
  samara restore samara.backup --id head1 --address 10.1.0.1 --dir /var/lib/samara`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			o.File = args[0]
			if err := completeRestore(&o, g, address); err != nil {
				return err
			}
			p := newProgress(c.ErrOrStderr(), g.terminal(c.ErrOrStderr()))
			step := "restore"
			if o.DryRun {
				step = "check"
			}
			o.Progress = func(done, total int64) { p.show(api.Progress{Step: step, Done: done, Total: total}) }
			plan, err := g.restore(c.Context(), o)
			p.end()
			if err != nil {
				return err
			}
			if err := g.print(c.OutOrStdout(), view{data: plan, text: func(w io.Writer) error { return writeRestore(w, plan, o.DryRun, time.Now()) }}); err != nil || o.DryRun {
				return err
			}
			_, err = fmt.Fprintf(c.ErrOrStderr(), "next: systemctl enable --now samara, or samara serve --dir %s; then join further controllers, each with a samara controller token\n", o.Dir)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Dir, "dir", defaultDir, "`directory` for what the controller must keep")
	f.StringVar(&o.ID, "id", "", "`name` of this controller (the host's if empty)")
	f.StringVar(&address, "address", "", "`IP` where nodes and other controllers reach this machine")
	f.BoolVar(&o.DryRun, "dry-run", false, "check the backup and say what would be done, and change nothing")
	portFlags(c, &o.Ports)
	return c
}

// completeRestore fills in what the flags leave to the machine, and checks the rest.
func completeRestore(o *controller.RestoreOptions, g *global, address string) (err error) {
	if address == "" {
		local, err := g.addresses()
		if err != nil {
			return fmt.Errorf("restore: addresses of this machine: %w", err)
		}
		return usagef("restore: --address is missing; want this machine's IP on the nodes' network; it has %s", join(local))
	}
	if o.Address, err = parseAddr("address", address); err != nil {
		return err
	}
	if o.ID == "" {
		if o.ID, err = hostLabel(g); err != nil {
			return err
		}
	}
	o.Dir, err = filepath.Abs(o.Dir)
	return err
}

// writeRestore prints what a restore does.
func writeRestore(w io.Writer, p controller.RestorePlan, dry bool, now time.Time) error {
	was, images := "restored", "-"
	if dry {
		was = "would restore"
	}
	switch {
	case p.Blobs > 0:
		images = fmt.Sprintf("%d, %s", p.Blobs, size(p.BlobBytes))
	case p.Images > 0:
		images = "none inside: import the images again, or copy a controller's blobs directory"
	}
	gone := slices.DeleteFunc(slices.Clone(p.Controllers), func(id string) bool { return id == p.ID })
	var t table
	t.add(was, "cluster "+p.Cluster)
	t.add("backup", fmt.Sprintf("made %s (%s), revision %d", p.Made.Local().Format(time.DateTime), ago(p.Made, now), p.Revision))
	t.add("holds", fmt.Sprintf("%s, %s, %s", count(p.Nodes, "node"), count(p.Images, "image"), count(p.Networks, "network")))
	t.add("blobs", images)
	if len(p.MissingBlobs) > 0 && p.Blobs > 0 {
		t.add("missing", "not all blobs of "+strings.Join(p.MissingBlobs, ", "))
	}
	t.add("controller", fmt.Sprintf("%s at %s, the only one", p.ID, p.Address))
	t.add("left out", orDash(strings.Join(gone, ", ")))
	if err := t.write(w); err != nil {
		return err
	}
	return writeSteps(w, p.Steps)
}
