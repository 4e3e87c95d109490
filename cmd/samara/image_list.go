package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newImageList(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List images and their versions",
		Example: `  samara image list
  samara image list -o name`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				images, err := client.Images(ctx)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{
					data:  images,
					names: mapped(images, func(i fleet.Image) string { return i.Name }),
					table: func() table { return imageTable(images, time.Now()) },
				})
			})
		},
	}
	r.add(c)
	return c
}

func imageTable(images []fleet.Image, now time.Time) table {
	t := table{head: []string{"NAME", "VERSION", "SIZE", "KERNEL", "ARCH", "IMPORTED", "SOURCE"}}
	for _, i := range images {
		for at := range i.Versions {
			v := i.Versions[len(i.Versions)-1-at] // the newest first
			t.add(i.Name, strconv.Itoa(v.Number), size(v.Root.Size), orDash(v.KernelRelease), v.Arch, ago(v.Imported, now), orDash(v.Source))
		}
	}
	return t
}
