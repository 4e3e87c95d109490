package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/internal/netboot"
	"github.com/samara-hpc/samara/raftstore"
)

// lowDisk is the share of free space under which a controller warns, in percent.
const lowDisk = 10

// health knows how the controller is. It implements api.Health.
type health struct {
	self    self
	version string
	store   *raftstore.Store
	blobs   *blob.Store
	origin  *origin
	members func() int              // processes that gossip calls alive
	boot    func() netboot.Counters // what machines asked
	started time.Time

	mu      sync.Mutex
	corrupt map[fleet.Digest]error // what the last scrub found
}

// Status returns what the controller knows of itself.
func (h *health) Status(context.Context) api.Status {
	raft := h.store.Status()
	s := api.Status{
		ID: h.self.ID, Version: h.version, Role: raft.Role, Leader: raft.Leader, Quorum: raft.Leader != "",
		Uptime: time.Since(h.started), Members: h.members(), Boot: bootServices(h.boot()), Seeding: h.origin.seeding(),
		Problems: h.problems(),
	}
	if list, err := h.blobs.List(); err == nil {
		for _, b := range list {
			s.Blobs.Count++
			s.Blobs.Bytes += b.Size
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(h.blobs.Dir(), &fs); err == nil {
		s.Disk.Free = int64(fs.Bavail) * fs.Bsize
		s.Disk.Size = int64(fs.Blocks) * fs.Bsize
	}
	if s.Disk.Size > 0 && s.Disk.Free*100 < s.Disk.Size*lowDisk {
		s.Problems = append(s.Problems, api.Problem{
			What: fmt.Sprintf("the disk of %s is nearly full: %d MiB free", h.blobs.Dir(), s.Disk.Free>>20),
			Cure: "delete image versions that no node uses: samara image list, samara image delete NAME:VERSION",
		})
	}
	if raft.Failure != "" {
		s.Problems = append(s.Problems, api.Problem{What: "the log has failed: " + raft.Failure, Cure: "see the log of samara serve"})
	}
	if !s.Quorum {
		s.Problems = append(s.Problems, api.Problem{What: "no controller leads: nothing can be changed", Cure: "see the log of samara serve"})
	}
	return s
}

// problems returns what a person should see to in what this controller has to offer.
func (h *health) problems() []api.Problem {
	list := []api.Problem{}
	bad := map[fleet.Digest]error{}
	h.mu.Lock()
	for d, err := range h.corrupt {
		bad[d] = err
	}
	h.mu.Unlock()
	for d, err := range h.origin.failures() {
		bad[d] = err
	}
	for img := range h.store.State().Images() {
		for _, v := range img.Versions {
			ref := fleet.ImageRef{Name: img.Name, Version: v.Number}
			for _, b := range v.Blobs() {
				if err := bad[b.Digest]; err != nil {
					list = append(list, api.Problem{
						What: fmt.Sprintf("image %s cannot be served: %v", ref, err),
						Cure: fmt.Sprintf("samara image import %s %s", v.Source, img.Name),
					})
				}
			}
		}
	}
	return list
}

// healed forgets what a scrub said of a blob that was written anew.
func (h *health) healed(d fleet.Digest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.corrupt, d)
}

// scrubPause is between two scrubs of all blobs.
const scrubPause = 24 * time.Hour

// scrub reads every blob that the state names and compares it with its name, at once and then daily, until ctx ends.
func (h *health) scrub(ctx context.Context) error {
	for {
		for img := range h.store.State().Images() {
			for _, v := range img.Versions {
				for _, b := range v.Blobs() {
					err := h.blobs.Verify(ctx, b.Digest)
					if ctx.Err() != nil {
						return nil
					}
					h.mu.Lock()
					if err != nil {
						h.corrupt[b.Digest] = err
					} else {
						delete(h.corrupt, b.Digest)
					}
					h.mu.Unlock()
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(scrubPause):
		}
	}
}
