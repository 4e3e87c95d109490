package controller

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/raftstore"
)

// refreshAgain is after how long the renewal of an initramfs that failed is tried again.
const refreshAgain = 5 * time.Minute

// refresh rebuilds the initramfs of image versions whose agent is not this controller's, as after an upgrade, whenever this
// controller leads: otherwise controllers of two releases would undo each other's work for as long as there are two. It
// runs until ctx ends.
func (i *images) refresh(ctx context.Context) error {
	for {
		reign, err := i.log.Leading(ctx)
		if err == nil {
			err = i.refreshAll(reign)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// refreshAll looks at all versions at each change of an image, and now and then, until reign ends.
func (i *images) refreshAll(reign context.Context) error {
	again := map[fleet.ImageRef]time.Time{} // what failed, and when it is tried next
	look := func(state fleet.State) {
		for img := range state.Images() {
			for _, v := range img.Versions {
				ref := fleet.ImageRef{Name: img.Name, Version: v.Number}
				at, failed := again[ref]
				if time.Now().Before(at) || reign.Err() != nil {
					continue
				}
				err := i.refreshVersion(reign, img.Name, v)
				if err == nil {
					delete(again, ref)
					continue
				}
				if !failed && reign.Err() == nil {
					i.logger.Error("cannot renew what an image boots with; it goes on with what it has", "image", ref, "err", err)
				}
				again[ref] = time.Now().Add(refreshAgain)
			}
		}
	}
	g, ctx := errgroup.WithContext(reign)
	looks := make(chan fleet.State)
	g.Go(func() error {
		return eachImageChange(ctx, i.log, func(s fleet.State) {
			select {
			case looks <- s:
			case <-ctx.Done():
			}
		})
	})
	g.Go(func() error {
		tick := time.NewTicker(refreshAgain)
		defer tick.Stop()
		for {
			select {
			case s := <-looks:
				look(s)
			case <-tick.C:
				look(i.log.State())
			case <-ctx.Done():
				return nil
			}
		}
	})
	return g.Wait()
}

// refreshVersion renews a version's initramfs if its agent is another one. A controller that is alone also makes one anew
// that it lacks: there is nobody to fetch it from.
func (i *images) refreshVersion(ctx context.Context, name string, v fleet.ImageVersion) error {
	program, err := i.agent(v.Arch)
	if err != nil {
		return err
	}
	alone := len(i.others()) == 0
	if v.Agent == sha256.Sum256(program) && (!alone || i.blobs.Has(v.Initramfs.Digest)) {
		return nil
	}
	if err := i.answering("initramfs"); err != nil {
		return err
	}
	made, agent, release, err := i.rebuild(ctx, v)
	if err != nil {
		return err
	}
	defer release()
	if made == v.Initramfs && agent == v.Agent {
		return nil
	}
	err = i.setInitramfs(ctx, &fleet.SetInitramfs{Image: name, Version: v.Number, Initramfs: made, Agent: agent})
	if err != nil && !errors.Is(err, raftstore.ErrUncertain) {
		release()
		i.discard(made.Digest)
	}
	return err
}

// rebuild writes an initramfs and keeps it until release is called.
func (i *images) rebuild(ctx context.Context, v fleet.ImageVersion) (made fleet.Blob, agent fleet.Digest, release func(), err error) {
	done, err := i.keeps.take(ctx)
	if err != nil {
		return fleet.Blob{}, fleet.Digest{}, nil, err
	}
	defer done()
	made, agent, err = i.writeInitramfs(ctx, v)
	if err != nil {
		return fleet.Blob{}, fleet.Digest{}, nil, err
	}
	release = i.keeps.hold(made.Digest)
	i.wrote(made)
	return made, agent, release, nil
}

// setInitramfs makes c part of the state, once a majority holds its blob.
func (i *images) setInitramfs(ctx context.Context, c *fleet.SetInitramfs) error {
	holders, stop, err := i.replicate(ctx, c.Image, api.PullBlobs{Initramfs: c.Initramfs}, func(api.Progress) {})
	if err != nil {
		return err
	}
	c.Holders = i.holders(holders)
	_, err = i.log.Propose(ctx, fleet.Entry{Command: c, ID: rand.Text(), At: time.Now().UTC(), Who: "controller/" + i.self.ID, Why: "the agent was upgraded"})
	if err != nil {
		stop()
	}
	return err
}
