package linear

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// A replica is all that one controller holds at one revision.
type replica struct {
	revision fleet.Revision
	state    []byte
}

// hold reads the replica of a controller from a backup, which is that of one moment.
func hold(ctx context.Context, h *head) (r replica, err error) {
	client := h.Client()
	defer client.Close()
	var backup bytes.Buffer
	if err := client.Backup(ctx, &backup, false); err != nil {
		return r, err
	}
	files := tar.NewReader(&backup)
	for {
		file, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return r, fmt.Errorf("backup: %w", err)
		}
		body, err := io.ReadAll(files)
		if err != nil {
			return r, fmt.Errorf("backup: %s: %w", file.Name, err)
		}
		switch file.Name {
		case "about.json":
			var about struct{ Revision fleet.Revision }
			if err := json.Unmarshal(body, &about); err != nil {
				return r, fmt.Errorf("backup: %s: %w", file.Name, err)
			}
			r.revision = about.Revision
		case "state.json":
			r.state = body
		}
	}
	if r.revision == 0 || len(r.state) == 0 {
		return r, fmt.Errorf("backup: it lacks the state or its revision")
	}
	return r, nil
}

// verifyReplicas checks that all controllers hold the same bytes at the same revision, and returns that and the nodes.
func verifyReplicas(ctx context.Context, t *testing.T, c *cluster) (map[string]fleet.Node, fleet.Revision) {
	t.Helper()
	var first replica
	err := poll(ctx, 200*time.Millisecond, func() (bool, error) { // what was asked for last may still arrive
		for i, h := range c.heads {
			r, err := hold(ctx, h)
			switch {
			case err != nil:
				return false, fmt.Errorf("%s: %w", h.Host.ID, err)
			case i == 0:
				first = r
			case r.revision != first.revision:
				return false, nil
			case !bytes.Equal(r.state, first.state):
				return false, fmt.Errorf("at revision %d %s holds:\n%s\n%s holds:\n%s", r.revision, h.Host.ID, r.state, c.heads[0].Host.ID, first.state)
			}
		}
		return true, nil
	})
	if err != nil {
		t.Fatalf("the controllers do not hold the same: %v", err)
	}
	client, err := c.client(0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Consistency = api.Linearizable
	views, err := client.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]fleet.Node{}
	for _, v := range views {
		nodes[v.Name] = v.Node
	}
	return nodes, first.revision
}
