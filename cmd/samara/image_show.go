package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newImageShow(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:   "show NAME[:VERSION]",
		Short: "Show an image version and its blobs",
		Example: `  samara image show debian
  samara image show debian:3 -o yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, imageNames),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := imageArg(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				i, err := client.Image(ctx, ref)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: i, table: func() table { return oneImageTable(i, time.Now()) }})
			})
		},
	}
	r.add(c)
	return c
}

// imageArg reads an argument NAME or NAME:VERSION.
func imageArg(arg string) (fleet.ImageRef, error) {
	ref, err := fleet.ParseImageRef(arg)
	if err == nil && ref.IsZero() {
		err = fleet.CheckName("image", arg)
	}
	return ref, err
}

// oneImageTable shows the newest version of i.
func oneImageTable(i fleet.Image, now time.Time) table {
	v := i.Latest()
	blob := func(b fleet.Blob) string { return b.Digest.String() + "  " + size(b.Size) }
	var t table
	t.add("image", fleet.ImageRef{Name: i.Name, Version: v.Number}.String())
	t.add("source", orDash(v.Source))
	t.add("imported", ago(v.Imported, now))
	t.add("kernel release", orDash(v.KernelRelease))
	t.add("architecture", v.Arch)
	t.add("root", blob(v.Root))
	t.add("kernel", blob(v.Kernel))
	t.add("initramfs", blob(v.Initramfs))
	t.add("torrent info", blob(v.Torrent))
	t.add("agent", v.Agent.String())
	return t
}
