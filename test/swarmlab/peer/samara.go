package peer

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/samara-hpc/samara/bootagent"
	"github.com/samara-hpc/samara/seeder"
)

// runSamara takes part as the agent of a booted node does, by its own code.
func runSamara(ctx context.Context, c Config, say *teller) error {
	if err := say.ready(ctx); err != nil {
		return err
	}
	proved := make(chan error, 1)
	attending, stop := context.WithCancel(ctx)
	defer stop()
	err := bootagent.Attend(attending, slog.New(slog.NewTextHandler(os.Stderr, nil)), bootagent.Attendance{
		Controllers: c.Origins,
		Pin:         c.Pin,
		Token:       c.Token,
		Address:     c.Address,
		Dir:         c.Dir,
		Observe:     func(p seeder.Progress) { say.tell(samaraProgress(Progress, p)) },
		Complete: func(p seeder.Progress) {
			say.tell(samaraProgress(Whole, p))
			go func() {
				err := prove(c.Image, filepath.Join(c.Dir, c.Image.Digest.String()+".squashfs"))
				if proved <- err; err != nil {
					stop()
					return
				}
				say.tell(Event{Kind: Proved})
			}()
		},
	})
	if ctx.Err() == nil && attending.Err() != nil {
		return <-proved
	}
	return err
}

func samaraProgress(k Kind, p seeder.Progress) Event {
	return Event{Kind: k, Have: p.Have, FromOrigin: p.FromOrigin, FromPeers: p.FromPeers, FromControl: p.FromControl, Uploaded: p.Uploaded}
}
