package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newClusterSet(g *global) *cobra.Command {
	var files []string
	var o api.ChangeOptions
	c := &cobra.Command{
		Use:   "set",
		Short: "Change what holds for all nodes",
		Long: `Change what holds for all nodes. --ssh-key replaces all of root's authorized keys; nodes take them
with their next boot.`,
		Example: `  samara cluster set --ssh-key /root/.ssh/id_ed25519.pub
  samara cluster set --ssh-key /root/.ssh/authorized_keys --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usagef("cluster set: no flag says what to change; want --ssh-key FILE")
			}
			keys, err := readKeys(files)
			if err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.SetCluster(ctx, fleet.SetCluster{AuthorizedKeys: &keys}, o)
			})
		},
	}
	c.Flags().StringArrayVar(&files, "ssh-key", nil, "`file` with public keys, one a line (repeatable)")
	changeFlags(c, &o)
	return c
}

// readKeys returns the keys in files of the form of sshd(8)'s authorized_keys: one a line, # begins a comment.
func readKeys(files []string) ([]string, error) {
	keys := []string{}
	for _, name := range files {
		found, err := readKeyFile(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, found...)
	}
	return keys, nil
}

func readKeyFile(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("--ssh-key: %w", err)
	}
	defer func() { _ = f.Close() }()
	var keys []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if s := strings.TrimSpace(lines.Text()); s != "" && !strings.HasPrefix(s, "#") {
			keys = append(keys, s)
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, fmt.Errorf("--ssh-key %s: %w", name, err)
	case len(keys) == 0:
		return nil, usagef("--ssh-key %s: there is no key in it", name)
	}
	for _, k := range keys {
		if strings.Contains(k, "PRIVATE KEY") {
			return nil, usagef("--ssh-key %s: this is a private key; name the .pub beside it", name)
		}
	}
	return keys, nil
}
