package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/samara-hpc/samara/bootagent"
	"github.com/samara-hpc/samara/seeder"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// pidFile is where an agent says, in its directory, which process it is.
const pidFile = "pid"

// attend is an agent: one that, unlike the lab's other peers, says nothing of its progress, since that would be most of
// what it does, and that steps aside once it has the image. It ends when in does.
func attend(ctx context.Context, config string, in io.Reader, out io.Writer) error {
	var c peer.Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, pidFile), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	lines := json.NewEncoder(out)
	if err := lines.Encode(peer.Event{Kind: peer.Ready, At: time.Now()}); err != nil {
		return err
	}
	var untold error
	err := bootagent.Attend(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)), bootagent.Attendance{
		Controllers: c.Origins,
		Pin:         c.Pin,
		Token:       c.Token,
		Address:     c.Address,
		Dir:         c.Dir,
		Aside:       true,
		Complete: func(p seeder.Progress) {
			if untold = lines.Encode(peer.Event{Kind: peer.Whole, At: time.Now(), Have: p.Have}); untold != nil {
				cancel()
			}
		},
	})
	return errors.Join(err, untold)
}
