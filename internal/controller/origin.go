package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
)

// An origin offers the roots of image versions from the blob store, without copying: those that the state names, and those
// that are about to be named or that nodes still run. A root stays on offer until it is withdrawn. Its methods may be
// called from any goroutine.
type origin struct {
	blobs  *blob.Store
	server *seeder.Server
	client *seeder.Client // that fetches what is not here yet
	self   fleet.Controller
	others func() []otherController
	logger *slog.Logger
	hashes sync.Map // fleet.Digest to seeder.Hash, of what is on offer

	mu       sync.Mutex
	past     map[fleet.Digest]given      // by root: before it was last opened
	gone     given                       // of roots that were withdrawn
	torrents map[fleet.Digest]fleet.Blob // by root: what is to be on offer, with its torrent
	offered  map[fleet.Digest]*offered   // what is on offer
	failed   map[fleet.Digest]error      // why a root is not on offer
}

// What was given of images, in bytes of payload.
type given struct {
	sent   int64 // to nodes
	copied int64 // to other controllers
}

func givenOf(s seeder.OriginStats) given { return given{s.Sent, s.Copied} }

func (g given) and(h given) given { return given{g.sent + h.sent, g.copied + h.copied} }

// An offered root is one that peers can fetch.
type offered struct {
	hash      seeder.Hash
	blob      *blob.Reader
	index, of int // this controller's place among those that offer it
}

func newOrigin(c depotConfig) *origin {
	return &origin{blobs: c.Blobs, server: c.Server, client: c.Swarm, self: c.Self, others: c.Others, logger: c.Logger,
		past: map[fleet.Digest]given{}, torrents: map[fleet.Digest]fleet.Blob{}, offered: map[fleet.Digest]*offered{}, failed: map[fleet.Digest]error{}}
}

// follow puts on offer what state names, and does what it says about uploads. What it no longer names goes when its blob goes.
func (o *origin) follow(state fleet.State) {
	if cluster, ok := state.Cluster(); ok {
		addrs := make([]netip.Addr, len(cluster.Controllers))
		for i, c := range cluster.Controllers {
			addrs[i] = c.Address
		}
		o.client.SetOrigins(addrs)
		o.server.SetUploadLimit(cluster.Seeding.OriginUpload)
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
	if o.offered[root] != nil {
		return nil
	}
	err := o.open(root)
	if err == nil {
		delete(o.failed, root)
		o.share(root)
		return nil
	}
	// What is missing is fetched, which is told elsewhere.
	if o.failed[root] == nil && !errors.Is(err, fs.ErrNotExist) {
		o.logger.Error("an image is not on offer", "blob", root.Short(), "err", err)
	}
	o.failed[root] = err
	return err
}

// open begins to offer a root. The caller holds o.mu.
func (o *origin) open(root fleet.Digest) error {
	info, err := readBlob(o.blobs, o.torrents[root])
	if err != nil {
		return fmt.Errorf("torrent: %w", err)
	}
	r, err := o.blobs.Open(root)
	if err != nil {
		return err
	}
	if err := o.server.Offer(info, r); err != nil {
		_ = r.Close()
		return err
	}
	o.offered[root] = &offered{hash: seeder.InfoHash(info), blob: r, of: 1}
	o.hashes.Store(root, seeder.InfoHash(info))
	return nil
}

// withdraw takes a root off offer for good.
func (o *origin) withdraw(root fleet.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.close(root)
	o.gone = o.gone.and(o.past[root])
	delete(o.past, root)
	delete(o.torrents, root)
	delete(o.failed, root)
}

// renew opens a blob anew that was written anew, since the file that is open may be one that a disk has damaged.
func (o *origin) renew(root fleet.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.close(root)
	if _, known := o.torrents[root]; known {
		_ = o.resume(root) // it is logged and kept for failures
	}
}

// close ends the offer of a root. The caller holds o.mu.
func (o *origin) close(root fleet.Digest) {
	s := o.offered[root]
	if s == nil {
		return
	}
	o.hashes.Delete(root)
	last, _ := o.server.Withdraw(s.hash) // and no longer reads the blob
	o.past[root] = o.past[root].and(givenOf(last))
	_ = s.blob.Close()
	delete(o.offered, root)
}

// doubt has all of a root checked again that somebody found damaged. It does not block, whoever reads the root.
func (o *origin) doubt(root fleet.Digest) {
	if h, ok := o.hashes.Load(root); ok {
		o.server.Doubt(h.(seeder.Hash))
	}
}

// run keeps this controller's share of each root what it is to be, until ctx ends. What the others offer is heard twice
// a second.
func (o *origin) run(ctx context.Context) error {
	tick := time.NewTicker(greetEvery)
	defer tick.Stop()
	for {
		o.mu.Lock()
		for root := range o.offered {
			o.share(root)
		}
		o.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// share has the controllers that live and offer a root show different pieces of it first. Each finds out by itself which
// are its own: by its place among their ids. The caller holds o.mu.
func (o *origin) share(root fleet.Digest) {
	index, of := place(o.self.ID, root, o.others())
	if s := o.offered[root]; s.index != index || s.of != of {
		s.index, s.of = index, of
		o.server.Share(s.hash, index, of)
	}
}

// place returns a controller's place among those that live and offer a root, itself included, and their number.
func place(self string, root fleet.Digest, others []otherController) (index, of int) {
	of = 1
	for _, c := range others {
		if c.offers(root) {
			of++
			if c.ID < self {
				index++
			}
		}
	}
	return index, of
}

// offers reports whether a controller is alive and offers a root.
func (c otherController) offers(root fleet.Digest) bool {
	return c.Alive && slices.ContainsFunc(c.Offers, func(f api.Offer) bool { return f.Root == root })
}
