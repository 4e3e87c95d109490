package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newImageImport(g *global) *cobra.Command {
	var why string
	var firmware bool
	c := &cobra.Command{
		Use:   "import SRC NAME",
		Short: "Make a new version of an image",
		Long: `Make a new version of an image from a root directory, a tar file, or a tar stream on the standard
input ("-"). A directory is read by the controller, on its own disk. The kernel and its modules
are taken from inside. Some network cards (bnx2x, qede, nfp and others) need firmware before a node
has its image: --firmware takes it from the image into the initramfs. Progress goes to the standard
error.`,
		Example: `  samara image import /srv/rootfs/debian debian
  samara image import debian.tar debian
  ssh golden 'tar --xattrs --one-file-system -C / -c .' | samara image import - debian`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(c *cobra.Command, args []string, s string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return g.names(2, imageNames)(c, args, s)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if err := fleet.CheckName("image", args[1]); err != nil {
				return err
			}
			from, done, err := g.source(args[0], c.InOrStdin())
			if err != nil {
				return err
			}
			defer done()
			from.Firmware = firmware
			return g.askLong(c.Context(), func(ctx context.Context, client *api.Client) error {
				p := newProgress(c.ErrOrStderr(), g.terminal(c.ErrOrStderr()))
				v, err := client.ImportImage(ctx, args[1], from, why, p.show)
				p.end()
				if err != nil {
					return fmt.Errorf("image import %s: %w", args[1], err)
				}
				return g.print(c.OutOrStdout(), view{data: v, text: func(w io.Writer) error {
					ref := fleet.ImageRef{Name: args[1], Version: v.Number}
					_, err := fmt.Fprintf(w, "added image %s: %s, kernel %s, %s\n", ref, size(v.Root.Size), v.KernelRelease, v.Arch)
					return err
				}})
			})
		},
	}
	whyFlag(c, &why)
	c.Flags().BoolVar(&firmware, "firmware", false, "put the image's firmware of network cards into the initramfs")
	return c
}

// source returns what SRC means, and what to do once it was imported. Over the socket the controller reads paths
// itself; from afar, a tar file is sent.
func (g *global) source(src string, stdin io.Reader) (api.Source, func(), error) {
	fail := func(err error) (api.Source, func(), error) { return api.Source{}, nil, err }
	if src == "-" {
		if g.terminal(stdin) {
			return fail(usagef("image import -: the standard input is a terminal; pipe a tar stream into it"))
		}
		return api.Source{Stream: stdin, Name: "standard input"}, func() {}, nil
	}
	path, err := filepath.Abs(src)
	if err != nil {
		return fail(err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fail(fmt.Errorf("image import: %w", err))
	case !info.IsDir() && !info.Mode().IsRegular():
		return fail(usagef("image import: %s is neither a directory nor a tar file; pipe a stream into \"samara image import - NAME\"", src))
	case g.local():
		return api.Source{Path: path, Name: path}, func() {}, nil
	case info.IsDir():
		return fail(usagef("image import: %s is a directory, and --server is elsewhere; tar --xattrs --numeric-owner -C %s -c . | samara image import - NAME", src, src))
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(fmt.Errorf("image import: %w", err))
	}
	return api.Source{Stream: f, Name: path}, func() { _ = f.Close() }, nil
}
