package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

func newBackup(g *global) *cobra.Command {
	var withBlobs bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that the cluster must not forget into one file",
		Long: `Write all that the cluster must not forget into one file with a checksum: nodes, images' versions,
networks, keys. With --blobs it holds the images themselves too; without, they must be imported again
after a restore, unless a controller's blobs are still there to copy. FILE appears when it is whole; "-" is the standard
output.

The file holds the cluster's keys: whoever has it can pass for any of its machines. It is written
for its owner alone to read; keep it so.`,
		Example: `  samara backup /srv/backup/samara-$(date +%F)
  samara backup - --blobs | ssh vault 'cat > samara.backup'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if args[0] == "-" {
				return g.backupTo(c, c.OutOrStdout(), withBlobs)
			}
			return g.backupFile(c, args[0], withBlobs)
		},
	}
	c.Flags().BoolVar(&withBlobs, "blobs", false, "the images too")
	return c
}

// keysInside is what to know of a backup.
const keysInside = "it holds the cluster's keys: whoever reads it can pass for any of its machines; keep it where only root can read it"

// backupTo writes a backup to the standard output.
func (g *global) backupTo(c *cobra.Command, out io.Writer, withBlobs bool) error {
	if g.terminal(out) {
		return usagef("backup -: the standard output is a terminal; name a file, or pipe it")
	}
	n, err := g.fetchBackup(c, out, withBlobs)
	if err != nil {
		return fmt.Errorf("backup: %w; what was written is not whole: throw it away", err)
	}
	_, err = fmt.Fprintf(c.ErrOrStderr(), "wrote %s; %s\n", size(n), keysInside)
	return err
}

// backupFile writes a backup under another name, and gives it its own when it is on the disk.
func (g *global) backupFile(c *cobra.Command, name string, withBlobs bool) (err error) {
	// A rename would put a file in the place of a device or a link.
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return usagef("backup: %s is there, and is no regular file; name another, or - for the standard output", name)
	}
	part := name + ".new"
	// The part of a backup that was interrupted may be there, with whatever rights: it is not written into.
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	n, err := g.fetchBackup(c, f, withBlobs)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(part, name); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := syncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	data := map[string]any{"file": name, "bytes": n, "blobs": withBlobs}
	if err := g.print(c.OutOrStdout(), view{data: data, text: func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote backup %s: %s\n", name, size(n))
		return err
	}}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.ErrOrStderr(), keysInside)
	return err
}

// fetchBackup copies a backup to w and returns its length.
func (g *global) fetchBackup(c *cobra.Command, w io.Writer, withBlobs bool) (int64, error) {
	var n int64
	err := g.askLong(c.Context(), func(ctx context.Context, client *api.Client) error {
		p := newProgress(c.ErrOrStderr(), g.terminal(c.ErrOrStderr()))
		defer p.end()
		counted := &countedWriter{w: w, moved: func(done int64) {
			n = done
			p.show(api.Progress{Step: "backup", Done: done})
		}}
		return client.Backup(ctx, counted, withBlobs)
	})
	return n, err
}

// A countedWriter tells how many bytes were written through it.
type countedWriter struct {
	w     io.Writer
	n     int64
	moved func(int64)
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.moved(c.n)
	return n, err
}

// syncDir makes a rename in dir outlive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
