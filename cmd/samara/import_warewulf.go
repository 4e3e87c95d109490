package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/warewulf"
)

func newImportWarewulf(g *global) *cobra.Command {
	var noImages bool
	i := importing{global: g}
	c := &cobra.Command{
		Use:   "warewulf DIR",
		Short: "Take over the site of a Warewulf server",
		Long: `Take over the site of a Warewulf 4 server, of any release from 4.2 to 4.7. DIR is its /etc/warewulf, or the root
of its disk: "/" on the server itself. Nodes, profiles and networks are taken, and the
images that nodes want: those take minutes each. It reports, with lines of files, what it takes, what it
puts right and what it cannot take; then it says what would change, and asks.

Nothing of the Warewulf server is changed. Importing twice changes nothing; importing again after
changes there takes these, and undoes what was changed here of the same nodes and profiles.`,
		Example: `  samara import warewulf --dry-run /
  samara import warewulf /mnt/oldhead -m 'from Warewulf'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			i.command, i.images = c, !noImages
			return i.run(func() (warewulf.Site, error) { return warewulf.Read(args[0]) }, i.besides)
		},
	}
	i.flags(c)
	c.Flags().BoolVar(&noImages, "no-images", false, "import no image: what wants one that is not here is taken without an image")
	return c
}

// besides makes the edit of a whole site, beside what the cluster has.
func (i *importing) besides(ctx context.Context, client *api.Client) error {
	networks, err := client.Networks(ctx)
	if err != nil {
		return err
	}
	images, err := client.Images(ctx)
	if err != nil {
		return err
	}
	i.site = i.site.Beside(networks)
	i.edit = i.site.Documents.Edit()
	here := func(m warewulf.Image) bool {
		return slices.ContainsFunc(images, func(i fleet.Image) bool { return i.Name == m.Name })
	}
	for _, image := range i.site.Images {
		if image.Used && !here(image) {
			i.lacking = append(i.lacking, image)
		}
	}
	brought := i.brought()
	i.leaveOut(func(m warewulf.Image) bool {
		return here(m) || slices.ContainsFunc(brought, func(b warewulf.Image) bool { return b.Name == m.Name })
	})
	if i.images && !i.local() && !i.options.DryRun && slices.ContainsFunc(i.lacking, func(m warewulf.Image) bool { return m.Path != "" }) {
		return usagef("import warewulf: the images are directories here, and --server is elsewhere; run it on a controller, or with --no-images")
	}
	return nil
}

// leaveOut takes the images out of the report that nobody has to import by hand.
func (i *importing) leaveOut(settled func(warewulf.Image) bool) {
	i.site.Report.Findings = slices.DeleteFunc(slices.Clone(i.site.Report.Findings), func(f warewulf.Finding) bool {
		return f.Outcome == warewulf.Left && slices.ContainsFunc(i.site.Images, func(m warewulf.Image) bool {
			return m.Path != "" && f.Field == "image "+m.Was && settled(m)
		})
	})
}
