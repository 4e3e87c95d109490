package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/raftstore"
)

// restarts is how often a large state is written and opened. Of the times the least one is taken, since noise only
// adds to them, and of the memory the most.
const restarts = 3

// measureRestart writes snapshots of a large state and opens them in processes of their own.
func measureRestart(ctx context.Context, dir string, o options, r *result) error {
	for i := range restarts {
		all, err := newControllers(fmt.Sprintf("%s/%d", dir, i), 1)
		if err != nil {
			return err
		}
		state, err := largeState(group(all), o.nodes)
		if err != nil {
			return err
		}
		c := all[0]
		began := time.Now()
		if err := raftstore.Seed(storeDir(c), state, c.id, c.address.String()); err != nil {
			return err
		}
		snapshot := time.Since(began).Seconds()
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		child := exec.CommandContext(ctx, exe, childWord, childLoner, c.id, c.dir, c.address.String())
		child.Stderr = os.Stderr
		out, err := child.Output()
		if err != nil {
			return err
		}
		var restart, rss, heap float64
		if _, err := fmt.Sscan(string(out), &restart, &rss, &heap); err != nil {
			return fmt.Errorf("child printed %q: %w", out, err)
		}
		progress("%d nodes: snapshot %.2f s, restart %.2f s, %.0f MiB, of them %.0f live on the heap", o.nodes, snapshot, restart, rss, heap)
		if i == 0 || snapshot < r.Snapshot {
			r.Snapshot = snapshot
		}
		if i == 0 || restart < r.Restart {
			r.Restart = restart
		}
		r.Memory = max(r.Memory, rss)
	}
	return nil
}

// largeState returns a state with n nodes.
func largeState(g group, n int) (fleet.State, error) {
	state := fleet.State{}
	commands := []fleet.Command{initCluster(g), image(g)}
	for from := 0; from < n; from += perEntry {
		commands = append(commands, fleet.AddNodes{Nodes: nodes(from)})
	}
	for _, c := range commands {
		var err error
		if state, err = state.Apply(entry(c), state.Revision()+1); err != nil {
			return state, err
		}
	}
	return state, nil
}
