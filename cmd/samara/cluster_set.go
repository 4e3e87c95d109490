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

// clusterFlags are the flags of samara cluster set.
type clusterFlags struct {
	keys         []string
	nodeUpload   byteRate
	originUpload byteRate
	pauseFile    string
	pauseCommand string
}

func newClusterSet(g *global) *cobra.Command {
	var f clusterFlags
	var o api.ChangeOptions
	c := &cobra.Command{
		Use:   "set",
		Short: "Change what holds for all nodes",
		Long: `Change what holds for all nodes and controllers.

--ssh-key replaces all of root's authorized keys; nodes take them with their next boot.

Nodes that have booted give their image on to others. --node-upload limits what each of them sends,
and --origin-upload what each controller sends to swarms: rates per second, in kB, MB or GB, or in
kbit, Mbit or Gbit, or none. A node that boots is not limited.

While --pause-file exists in a node's root, or --pause-command exits with 0 there, the node sends
nothing, so that a job has the network to itself; whoever asks it goes elsewhere. The file is looked
at every 5 seconds. The command is run as root by /bin/sh every 30 seconds, for 10 seconds at most.
A check that cannot be made pauses nothing; samara node show has the reason. "" takes either away. Nodes hear of a change within half a minute, without a boot.`,
		Example: `  samara cluster set --ssh-key /root/.ssh/id_ed25519.pub
  samara cluster set --node-upload 1Gbit --origin-upload 5GB
  samara cluster set --pause-file /run/job --dry-run
  samara cluster set --pause-command 'pgrep -u slurm slurmstepd'
  samara cluster set --node-upload none --pause-file ""`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := f.change(c)
			if err != nil {
				return err
			}
			return g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
				return client.SetCluster(ctx, set, o)
			})
		},
	}
	c.Flags().StringArrayVar(&f.keys, "ssh-key", nil, "`file` with public keys, one a line (repeatable)")
	c.Flags().Var(&f.nodeUpload, "node-upload", "`rate` that a booted node sends at most, such as 500MB or 4Gbit")
	c.Flags().Var(&f.originUpload, "origin-upload", "`rate` that a controller sends to swarms at most")
	c.Flags().StringVar(&f.pauseFile, "pause-file", "", "absolute `path` in the nodes' root: a node sends nothing while it exists")
	c.Flags().StringVar(&f.pauseCommand, "pause-command", "", "shell `command`: a node sends nothing while it exits with 0")
	changeFlags(c, &o)
	acceptYes(c)
	return c
}

// change returns what the flags that were given ask for.
func (f *clusterFlags) change(c *cobra.Command) (fleet.SetCluster, error) {
	var set fleet.SetCluster
	if len(f.keys) > 0 {
		keys, err := readKeys(f.keys)
		if err != nil {
			return set, err
		}
		set.AuthorizedKeys = &keys
	}
	var s fleet.SetSeeding
	given := func(flag string) bool { return c.Flags().Changed(flag) }
	if given("node-upload") {
		s.NodeUpload = (*int64)(&f.nodeUpload)
	}
	if given("origin-upload") {
		s.OriginUpload = (*int64)(&f.originUpload)
	}
	if given("pause-file") {
		s.PauseFile = &f.pauseFile
	}
	if given("pause-command") {
		s.PauseCommand = &f.pauseCommand
	}
	if s != (fleet.SetSeeding{}) {
		set.Seeding = &s
	}
	if set == (fleet.SetCluster{}) {
		return set, usagef("cluster set: no flag says what to change; want --ssh-key, --node-upload, --origin-upload, --pause-file or --pause-command")
	}
	return set, nil
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
