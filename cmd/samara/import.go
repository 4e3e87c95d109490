package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/warewulf"
)

// An importing is the import of a site, of whatever form.
type importing struct {
	*global
	command *cobra.Command
	options api.ChangeOptions
	yes     bool
	images  bool // import the images that nodes want and the cluster lacks

	site    warewulf.Site
	lacking []warewulf.Image // that something of the site wants, by name
	edit    fleet.Edit
}

// imported is what an import found, for programs.
type imported struct {
	Report   warewulf.Report    `json:"report"`
	Images   []warewulf.Image   `json:"images,omitempty"`
	Lacking  []warewulf.Image   `json:"lacking,omitempty"` // images that are wanted and not here yet
	Overlays []warewulf.Overlay `json:"overlays,omitempty"`
	Renamed  []warewulf.Renamed `json:"renamed,omitempty"`
	Change   api.Change         `json:"change"`
}

// flags adds the flags of every verb that imports.
func (i *importing) flags(c *cobra.Command) {
	confirmFlag(c, &i.yes)
	changeFlags(c, &i.options)
	c.Flags().Lookup("dry-run").Usage = "say what was found and what would change, and change nothing"
}

// run takes over what was read. prepare makes the edit of it, from the configuration as it is.
func (i *importing) run(read func() (warewulf.Site, error), prepare func(context.Context, *api.Client) error) error {
	if err := i.checkOutput(false); err != nil {
		return err
	}
	var err error
	if i.site, err = read(); err != nil {
		return faulty(i.command.ErrOrStderr(), err)
	}
	if err := i.ask(i.command.Context(), prepare); err != nil {
		return err
	}
	t := transaction{edit: without(i.edit, i.lacking), where: i.site.Where}
	var plan api.Change
	if err := i.ask(i.command.Context(), func(ctx context.Context, client *api.Client) (err error) {
		o := i.options
		o.DryRun = true
		plan, err = t.make(ctx, client, o)
		return err
	}); err != nil {
		return err
	}
	bring := i.brought()
	idle := len(plan.Changed)+len(plan.Effects)+len(bring) == 0
	if i.options.DryRun || idle {
		return i.tell(plan)
	}
	if i.output == "table" {
		if err := i.tell(plan); err != nil {
			return err
		}
	}
	if err := i.confirm(i.command, i.yes, "make these changes"); err != nil {
		return err
	}
	return i.take(bring, plan.Revision)
}

// brought returns the images that are imported with the rest.
func (i *importing) brought() []warewulf.Image {
	if !i.images {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(i.lacking), func(m warewulf.Image) bool { return m.Path == "" })
}

// take imports images, then makes the change, unless somebody has changed the configuration since a revision.
func (i *importing) take(bring []warewulf.Image, seen fleet.Revision) error {
	for _, image := range bring {
		if err := i.takeImage(image); err != nil {
			return err
		}
	}
	left := slices.DeleteFunc(slices.Clone(i.lacking), func(m warewulf.Image) bool {
		return slices.ContainsFunc(bring, func(b warewulf.Image) bool { return b.Name == m.Name })
	})
	t := transaction{edit: without(i.edit, left), where: i.site.Where, same: []fleet.Condition{api.IfRevision(seen)}}
	return i.ask(i.command.Context(), func(ctx context.Context, client *api.Client) error {
		ch, err := t.make(ctx, client, i.options)
		if err != nil {
			return err
		}
		if i.output == "table" {
			return writeChange(i.command.OutOrStdout(), ch)
		}
		return i.tell(ch)
	})
}

// takeImage makes an image of a directory of the site.
func (i *importing) takeImage(image warewulf.Image) error {
	from, done, err := i.source(image.Path, nil)
	if err != nil {
		return err
	}
	defer done()
	return i.askLong(i.command.Context(), func(ctx context.Context, client *api.Client) error {
		stderr := i.command.ErrOrStderr()
		p := newProgress(stderr, i.terminal(stderr))
		v, err := client.ImportImage(ctx, image.Name, from, i.options.Why, p.show)
		p.end()
		if err != nil {
			return fmt.Errorf("image %s of %s: %w; nodes and profiles were not changed", image.Name, image.Path, err)
		}
		_, err = fmt.Fprintf(stderr, "added image %s: %s, kernel %s, %s\n", fleet.ImageRef{Name: image.Name, Version: v.Number}, size(v.Root.Size), v.KernelRelease, v.Arch)
		return err
	})
}

// tell prints what was found and what changes by it.
func (i *importing) tell(ch api.Change) error {
	data := imported{i.site.Report, i.site.Images, i.lacking, i.site.Overlays, i.site.Renamed, ch}
	return i.print(i.command.OutOrStdout(), view{data: data, text: func(w io.Writer) error {
		if _, err := i.site.Report.WriteTo(w); err != nil {
			return err
		}
		var b strings.Builder
		if len(i.site.Report.Findings) > 0 {
			b.WriteByte('\n')
		}
		for _, image := range i.lacking {
			switch {
			case image.Path == "":
				fmt.Fprintf(&b, "image %s is not here: what wants it is taken without an image; import one, then import this again\n", image.Name)
			case i.images:
				fmt.Fprintf(&b, "import image %s from %s; what wants it gets it\n", image.Name, image.Path)
			default:
				fmt.Fprintf(&b, "image %s is not here: what wants it is taken without an image\n", image.Name)
			}
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
		return writePlan(w, ch)
	}})
}

// without returns an edit in which nothing wants the images that are lacking.
func without(e fleet.Edit, lacking []warewulf.Image) fleet.Edit {
	gone := map[string]bool{}
	for _, image := range lacking {
		gone[image.Name] = true
	}
	e.Puts = slices.Clone(e.Puts)
	for at, o := range e.Puts {
		switch {
		case o.Node != nil && gone[o.Node.Image.Name]:
			n := *o.Node
			n.Image = fleet.ImageRef{}
			e.Puts[at].Node = &n
		case o.Profile != nil && gone[o.Profile.Image.Name]:
			p := *o.Profile
			p.Image = fleet.ImageRef{}
			e.Puts[at].Profile = &p
		}
	}
	return e
}
