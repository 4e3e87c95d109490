package controller

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"sync"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
)

// An origin seeds the roots of image versions from the blob store, without copying: those that the state names, and those
// that are about to be named or that nodes still run. A root stays on offer until it is withdrawn. Its methods may be
// called from any goroutine.
type origin struct {
	blobs  *blob.Store
	client *seeder.Client
	self   fleet.Controller
	logger *slog.Logger

	mu       sync.Mutex
	dropped  int64                       // bytes sent for images that are no longer on offer
	torrents map[fleet.Digest]fleet.Blob // by root: what is to be on offer, with its torrent
	seeded   map[fleet.Digest]seed       // what is on offer
	lent     map[fleet.Digest]bool       // roots whose swarm a download has joined
	failed   map[fleet.Digest]error      // why a root is not on offer
}

type seed struct {
	hash seeder.Hash
	blob *blob.Reader
}

func newOrigin(blobs *blob.Store, client *seeder.Client, self fleet.Controller, logger *slog.Logger) *origin {
	return &origin{blobs: blobs, client: client, self: self, logger: logger, torrents: map[fleet.Digest]fleet.Blob{},
		seeded: map[fleet.Digest]seed{}, lent: map[fleet.Digest]bool{}, failed: map[fleet.Digest]error{}}
}

// follow puts on offer what state names. What it no longer names goes when its blob goes.
func (o *origin) follow(state fleet.State) {
	if cluster, ok := state.Cluster(); ok {
		addrs := make([]netip.Addr, len(cluster.Controllers))
		for i, c := range cluster.Controllers {
			addrs[i] = c.Address
		}
		o.client.SetOrigins(addrs)
	}
	for _, b := range named(state) {
		if b.Root {
			_ = o.offer(b.Digest, b.Torrent) // it is logged and kept for failures
		}
	}
}

// offer puts a root on offer, unless it is already. The error says why it cannot be.
func (o *origin) offer(root fleet.Digest, torrent fleet.Blob) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.torrents[root] = torrent
	return o.resume(root)
}

// resume puts a root on offer whose torrent is known. The caller holds o.mu.
func (o *origin) resume(root fleet.Digest) error {
	if _, have := o.seeded[root]; have || o.lent[root] {
		return nil
	}
	err := o.seed(root)
	if err == nil {
		delete(o.failed, root)
		return nil
	}
	// What is missing is fetched, which is told elsewhere.
	if o.failed[root] == nil && !errors.Is(err, fs.ErrNotExist) {
		o.logger.Error("an image is not on offer", "blob", root.Short(), "err", err)
	}
	o.failed[root] = err
	return err
}

// withdraw takes a root off offer for good.
func (o *origin) withdraw(root fleet.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(root)
	delete(o.torrents, root)
	delete(o.failed, root)
}

// renew opens a blob anew that was written anew, since the file that is open may be one that a disk has damaged.
func (o *origin) renew(root fleet.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(root)
	if _, known := o.torrents[root]; known {
		_ = o.resume(root) // it is logged and kept for failures
	}
}

// lend takes a root off offer while a download is in its swarm, and returns what puts it back.
func (o *origin) lend(root fleet.Digest) (back func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(root)
	o.lent[root] = true
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.lent, root)
		if _, known := o.torrents[root]; known {
			_ = o.resume(root)
		}
	}
}

// sent counts bytes that a download of ours has sent to others.
func (o *origin) sent(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropped += n
}

// drop stops seeding a root. The caller holds o.mu.
func (o *origin) drop(root fleet.Digest) {
	s, have := o.seeded[root]
	if !have {
		return
	}
	o.dropped += o.client.Uploaded(s.hash)
	if err := o.client.Drop(s.hash); err != nil && !errors.Is(err, seeder.ErrDropped) {
		o.logger.Error("cannot stop seeding", "blob", root.Short(), "err", err)
	}
	_ = s.blob.Close()
	delete(o.seeded, root)
}

// seed begins to seed a root. The caller holds o.mu.
func (o *origin) seed(root fleet.Digest) error {
	info, err := readBlob(o.blobs, o.torrents[root])
	if err != nil {
		return fmt.Errorf("torrent: %w", err)
	}
	r, err := o.blobs.Open(root)
	if err != nil {
		return err
	}
	if err := o.client.Seed(info, r); err != nil {
		_ = r.Close()
		return err
	}
	o.seeded[root] = seed{seeder.InfoHash(info), r}
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

// failures returns why roots are not on offer.
func (o *origin) failures() map[fleet.Digest]error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.failed)
}
