package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newImageTorrent(g *global) *cobra.Command {
	var file string
	var r reading
	c := &cobra.Command{
		Use:   "torrent NAME[:VERSION]",
		Short: "Write an image's .torrent file",
		Long: `Write an image's .torrent file, with which any BitTorrent client can join the swarm through the
controllers' tracker, from the address of a node or of a controller: nobody speaks to others. It is
NAME.torrent unless --file says otherwise.`,
		Example: `  samara image torrent debian
  samara image torrent debian:3 --file - | aria2c --seed-time=0 --torrent-file=/dev/stdin`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, imageNames),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := imageArg(args[0])
			if err != nil {
				return err
			}
			if file == "" {
				file = ref.Name + ".torrent"
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				b, err := client.Torrent(ctx, ref)
				if err != nil {
					return err
				}
				return writeTorrent(c.OutOrStdout(), file, b, g.terminal(c.OutOrStdout()))
			})
		},
	}
	c.Flags().StringVar(&file, "file", "", "`path` to write; - is the standard output")
	r.add(c)
	return c
}

func writeTorrent(stdout io.Writer, file string, b []byte, terminal bool) error {
	if file == "-" {
		if terminal {
			return usagef("image torrent: a .torrent is not text; send the standard output to a file")
		}
		_, err := stdout.Write(b)
		return err
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return fmt.Errorf("image torrent: %w", err)
	}
	_, err := fmt.Fprintln(stdout, file)
	return err
}
