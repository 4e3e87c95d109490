package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
)

// An origin seeds every image version of the state from the blob store, without copying.
type origin struct {
	blobs  *blob.Store
	client *seeder.Client
	self   fleet.Controller
	logger *slog.Logger

	mu      sync.Mutex
	dropped int64 // bytes sent for images that are no longer on offer
	seeded  map[fleet.Digest]seed
	failed  map[fleet.Digest]error // why an image is not on offer
}

type seed struct {
	hash seeder.Hash
	blob *blob.Reader
}

func newOrigin(blobs *blob.Store, client *seeder.Client, self fleet.Controller, logger *slog.Logger) *origin {
	return &origin{blobs: blobs, client: client, self: self, logger: logger,
		seeded: map[fleet.Digest]seed{}, failed: map[fleet.Digest]error{}}
}

// run keeps what is on offer equal to what the state has, until ctx ends.
func (o *origin) run(ctx context.Context, wait func(context.Context, fleet.Revision) (fleet.State, error)) error {
	var seen fleet.Revision
	for {
		state, err := wait(ctx, seen)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		seen = state.Revision()
		o.follow(state)
	}
}

// renew takes a blob that was written anew off offer, since the file that is open may be one that a disk has damaged.
// The change of state that comes with the blob puts it on offer again.
func (o *origin) renew(d fleet.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, have := o.seeded[d]; have {
		o.drop(d)
	}
}

// drop stops seeding a blob. The caller holds o.mu.
func (o *origin) drop(d fleet.Digest) {
	s := o.seeded[d]
	o.dropped += o.client.Uploaded(s.hash)
	if err := o.client.Drop(s.hash); err != nil && !errors.Is(err, seeder.ErrDropped) {
		o.logger.Error("cannot stop seeding", "blob", d.Short(), "err", err)
	}
	_ = s.blob.Close()
	delete(o.seeded, d)
}

// follow seeds what state has and drops what it has no more.
func (o *origin) follow(state fleet.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	wanted := map[fleet.Digest]bool{}
	for img := range state.Images() {
		for _, v := range img.Versions {
			wanted[v.Root.Digest] = true
			if _, have := o.seeded[v.Root.Digest]; have {
				continue
			}
			err := o.seed(v)
			if err != nil && o.failed[v.Root.Digest] == nil {
				o.logger.Error("an image is not on offer", "image", fleet.ImageRef{Name: img.Name, Version: v.Number}, "err", err)
			}
			o.failed[v.Root.Digest] = err
		}
	}
	for d := range o.seeded {
		if !wanted[d] {
			o.drop(d)
		}
	}
	for d, err := range o.failed {
		if !wanted[d] || err == nil {
			delete(o.failed, d)
		}
	}
}

// seed offers one version's root.
func (o *origin) seed(v fleet.ImageVersion) error {
	info, err := readBlob(o.blobs, v.Torrent)
	if err != nil {
		return fmt.Errorf("torrent: %w", err)
	}
	r, err := o.blobs.Open(v.Root.Digest)
	if err != nil {
		return err
	}
	if err := o.client.Seed(info, r); err != nil {
		_ = r.Close()
		return err
	}
	o.seeded[v.Root.Digest] = seed{seeder.InfoHash(info), r}
	return nil
}

// digestOf returns which blob a torrent on offer is of.
func (o *origin) digestOf(h seeder.Hash) (fleet.Digest, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for d, s := range o.seeded {
		if s.hash == h {
			return d, true
		}
	}
	return fleet.Digest{}, false
}

// seeding returns what is on offer and what was sent of it.
func (o *origin) seeding() api.Seeding {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := api.Seeding{Torrents: len(o.seeded), OriginBytes: o.dropped}
	for _, offered := range o.seeded {
		s.Peers += o.client.Connected(offered.hash)
		s.OriginBytes += o.client.Uploaded(offered.hash)
	}
	return s
}

// member is this controller as outside clients of a swarm see it.
func (o *origin) member() seeder.Member {
	return seeder.Member{Name: o.self.ID, Addr: netip.AddrPortFrom(o.self.Address, o.self.Ports.Swarm), Holding: seeder.HoldsAll, Alive: true, Origin: true}
}

// failures returns why images are not on offer, by the digest of their root.
func (o *origin) failures() map[fleet.Digest]error {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make(map[fleet.Digest]error, len(o.failed))
	for d, err := range o.failed {
		if err != nil {
			out[d] = err
		}
	}
	return out
}
