package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/config"
)

func newExport(g *global) *cobra.Command {
	var file, revision string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the configuration as YAML that apply takes",
		Long: `Write nodes, profiles, networks and the settings of the cluster as one YAML document, for a repository or
an editor. To apply what was exported changes nothing, and to export that gives the same bytes. Passwords
are not written: a comment stands where one is set, and apply leaves it as it is.`,
		Example: `  samara export -o site.yaml
  samara export --revision 1200 > before.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if slices.Contains([]string{"table", "json", "yaml", "name", "csv"}, file) {
				return usagef("export -o %s: it names a file here, and the form is YAML always; ./%s is a file of that name", file, file)
			}
			rev, err := parseRevision(revision)
			if err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				now, err := client.Configuration(ctx, rev)
				if err != nil {
					return err
				}
				text, err := exported(now)
				if err != nil {
					return err
				}
				if file == "" || file == "-" {
					_, err = c.OutOrStdout().Write(text)
					return err
				}
				return replaceFile(file, text)
			})
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "`file` to write, which is there when it is whole (the standard output if empty)")
	c.Flags().StringVar(&revision, "revision", "", "as it was at `revision`, as far as the history goes back")
	return c
}

// exported writes a configuration as the document that apply reads.
func exported(all api.Configuration) ([]byte, error) {
	d := config.Documents{Nodes: all.Nodes, Profiles: all.Profiles, Networks: all.Networks, Cluster: &all.Cluster}
	set := map[fleet.Ref]bool{}
	for _, s := range all.Secrets {
		set[fleet.Ref{Kind: s.Kind, Name: s.Name}] = true
	}
	// A password that is set and not shown is written as a comment, whatever it is.
	hidden := fleet.Secret("*")
	for i, n := range d.Nodes {
		if set[fleet.Ref{Kind: fleet.ObjectNode, Name: n.Name}] {
			d.Nodes[i].BMC.Password = hidden
		}
	}
	for i, p := range d.Profiles {
		if set[fleet.Ref{Kind: fleet.ObjectProfile, Name: p.Name}] {
			d.Profiles[i].BMC.Password = hidden
		}
	}
	var b bytes.Buffer
	err := config.Encode(&b, d)
	return b.Bytes(), err
}

// parseRevision reads a revision that a flag or an argument has; "" is 0.
func parseRevision(s string) (fleet.Revision, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("revision %q: want a number, as samara history lists them", s)
	}
	return fleet.Revision(n), nil
}

// replaceFile writes a file under another name and gives it its own when it is on the disk.
func replaceFile(name string, data []byte) (err error) {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return usagef("export: %s is there, and is no regular file; name another", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("export: %w", err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	// Nothing in it is secret, and others are to put it into repositories.
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}
