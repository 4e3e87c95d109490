package controller

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
	"github.com/samara-hpc/samara/seeder/handout"
)

// A depot is a controller's blobs and everything that keeps them right: imports, copies from and for other controllers,
// the origin of swarms, repair, and the removal of what nobody needs.
type depot struct {
	images    *images
	origin    *origin
	puller    *puller
	repair    *repair
	collector *collector
	log       ledger
}

// A depotConfig says what a depot is made of. Everything must be set but what says otherwise.
type depotConfig struct {
	Self    fleet.Controller
	Blobs   *blob.Store
	Server  *seeder.Server // offers roots
	Swarm   *seeder.Client // fetches roots, and is called at the server's port
	Log     ledger
	Agent   func(arch string) ([]byte, error)        // the program for nodes of that architecture
	Others  func() []otherController                 // every controller but this one
	Running func(root fleet.Digest) bool             // whether a node that is not silent runs or fetches that root
	Nodes   func(root fleet.Digest) []netip.AddrPort // the swarm addresses of nodes that hold that root whole
	Logger  *slog.Logger

	CollectAfter time.Duration // how long a blob stays that nothing needs; 0 means ten minutes
	ScrubAfter   time.Duration // between the start and the first scrub; 0 means a minute
}

// A ledger is the replicated state as a depot uses it: a *raftstore.Store.
type ledger interface {
	State() fleet.State
	Wait(ctx context.Context, after fleet.Revision) (fleet.State, error)
	Propose(ctx context.Context, e fleet.Entry) (fleet.Revision, error)
	Leading(ctx context.Context) (context.Context, error)
}

// An otherController is a controller that is not this one, as this one sees it.
type otherController struct {
	fleet.Controller
	Alive  bool
	Client blobPeer
	Offers []api.Offer // as it said last
}

// A blobPeer is another controller, asked for blobs, and to fetch some.
type blobPeer interface {
	// Pull has the other controller fetch blobs. It returns once that one has verified and keeps them all.
	Pull(ctx context.Context, r api.PullRequest, progress func(api.Progress)) error
	// Blob opens a blob of the other controller and returns its size.
	Blob(ctx context.Context, d fleet.Digest) (io.ReadCloser, int64, error)
}

func newDepot(c depotConfig) *depot {
	if c.CollectAfter == 0 {
		c.CollectAfter = 10 * time.Minute
	}
	if c.ScrubAfter == 0 {
		c.ScrubAfter = time.Minute
	}
	d := &depot{log: c.Log}
	keeps := newKeeps()
	d.origin = newOrigin(c)
	d.collector = newCollector(c, keeps, d.origin)
	d.puller = newPuller(c, keeps, d)
	d.repair = newRepair(c, d.origin, d.puller)
	d.images = newImages(c, keeps, d)
	c.Blobs.OnCorrupt(d.repair.met)
	return d
}

// parts are what a depot runs. The server and the client of swarms run beside them.
func (d *depot) parts() []part {
	return []part{
		{"images on offer", func(ctx context.Context) error { return eachImageChange(ctx, d.log, d.origin.follow) }},
		{"shares of images", d.origin.run},
		{"imports", d.images.run},
		{"initramfs", d.images.refresh},
		{"blob repair", d.repair.run},
		{"blob collection", d.collector.run},
	}
}

// wrote takes note of blobs that were written, new or once more.
func (d *depot) wrote(blobs ...fleet.Blob) {
	for _, b := range blobs {
		d.origin.renew(b.Digest)
	}
	d.repair.healed(blobs...)
}

// eachImageChange calls do with the state, at once and whenever its images or controllers have changed, until ctx ends.
func eachImageChange(ctx context.Context, log ledger, do func(fleet.State)) error {
	var last map[string]fleet.Revision
	return eachState(ctx, log.Wait, func(state fleet.State) error {
		now := map[string]fleet.Revision{}
		if cluster, ok := state.Cluster(); ok {
			now[""] = cluster.Revision // no image has that name
		}
		for img := range state.Images() {
			now[img.Name] = img.Revision
		}
		if last == nil || !maps.Equal(now, last) {
			do(state)
		}
		last = now
		return nil
	})
}

// A namedBlob is a blob that image versions of the state name.
type namedBlob struct {
	fleet.Blob
	Root    bool
	Torrent fleet.Blob     // of a root
	Image   fleet.ImageRef // the first that names it
}

// named returns the blobs that a state names, each once, small ones first.
func named(state fleet.State) []namedBlob {
	var small, roots []namedBlob
	seen := map[fleet.Digest]bool{}
	for img := range state.Images() {
		for _, v := range img.Versions {
			ref := fleet.ImageRef{Name: img.Name, Version: v.Number}
			for _, b := range v.Blobs() {
				switch {
				case seen[b.Digest]:
				case b == v.Root:
					roots = append(roots, namedBlob{Blob: b, Root: true, Torrent: v.Torrent, Image: ref})
				default:
					small = append(small, namedBlob{Blob: b, Image: ref})
				}
				seen[b.Digest] = true
			}
		}
	}
	return append(small, roots...)
}

// digests returns the names of blobs, zero ones left out.
func digests(blobs ...fleet.Blob) []fleet.Digest {
	var ds []fleet.Digest
	for _, b := range blobs {
		if !b.IsZero() && !slices.Contains(ds, b.Digest) {
			ds = append(ds, b.Digest)
		}
	}
	return ds
}

// asBlobs returns what an image version needs as a request.
func asBlobs(v fleet.ImageVersion) api.PullBlobs {
	return api.PullBlobs{Root: v.Root, Torrent: v.Torrent, Kernel: v.Kernel, Initramfs: v.Initramfs}
}

// listOf returns the blobs that a request asks for: what a root needs first, the root last.
func listOf(p api.PullBlobs) []fleet.Blob {
	return slices.DeleteFunc([]fleet.Blob{p.Torrent, p.Kernel, p.Initramfs, p.Root}, fleet.Blob.IsZero)
}

// swarmAddress is where a controller's origin listens.
func swarmAddress(c fleet.Controller) netip.AddrPort {
	return netip.AddrPortFrom(c.Address, c.Ports.Swarm)
}

// whole returns the addresses of those members of a swarm that are alive and hold all of its blob.
func whole(members []handout.Member) []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, m := range members {
		if m.Alive && m.Holding == handout.HoldsAll {
			addrs = append(addrs, m.Addr)
		}
	}
	return addrs
}
