package controller

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

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
	depot   *depot
	members func() int              // processes that gossip calls alive
	boot    func() netboot.Counters // what machines asked
	started time.Time
}

// Status returns what the controller knows of itself.
func (h *health) Status(context.Context) api.Status {
	raft := h.store.Status()
	s := api.Status{
		ID: h.self.ID, Version: h.version, Role: raft.Role, Leader: raft.Leader, Quorum: raft.Leader != "",
		Uptime: time.Since(h.started), Members: h.members(), Boot: bootServices(h.boot()), Seeding: h.depot.origin.seeding(),
		Problems: h.depot.repair.problems(),
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
