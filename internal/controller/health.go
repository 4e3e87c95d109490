package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/internal/netboot"
	"github.com/samara-hpc/samara/raftstore"
)

// leastFree is the least free space of a controller's disk, in bytes, under which it warns whatever its images take:
// room for the log, its snapshots and a small image.
const leastFree = 2 << 30

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
	now     func() time.Time

	controllers func() []api.ControllerView // every controller as this one sees it
}

// Status returns what the controller knows of itself.
func (h *health) Status(context.Context) api.Status {
	raft := h.store.Status()
	s := api.Status{
		ID: h.self.ID, Version: h.version, Role: raft.Role, Leader: raft.Leader, Quorum: raft.Leader != "",
		Uptime: time.Since(h.started), Members: h.members(), Boot: bootServices(h.boot()), Seeding: h.depot.origin.seeding(),
		Problems: h.depot.repair.problems(),
	}
	largest := int64(0)
	if list, err := h.blobs.List(); err == nil {
		for _, b := range list {
			s.Blobs.Count++
			s.Blobs.Bytes += b.Size
			largest = max(largest, b.Size)
		}
	}
	s.Disk = h.disk()
	if lowDisk(s.Disk, largest) {
		s.Problems = append(s.Problems, api.Problem{
			What: fmt.Sprintf("the disk of %s is nearly full: %d MiB free, and its largest image takes %d MiB", h.blobs.Dir(), s.Disk.Free>>20, largest>>20),
			Cure: "delete image versions that no node uses: samara image list, samara image delete NAME:VERSION; or give it a larger disk",
		})
	}
	if p, is := crowded(h.store.State()); is {
		s.Problems = append(s.Problems, p)
	}
	if raft.Failure != "" {
		s.Problems = append(s.Problems, api.Problem{What: "the log has failed: " + raft.Failure, Cure: "see the log of samara serve"})
	}
	h.addControllers(&s)
	return s
}

// addControllers says what is wrong among the controllers.
func (h *health) addControllers(s *api.Status) {
	voters, healthy := 0, 0
	var silent []string
	for _, c := range h.controllers() {
		if c.Role == api.RoleLeader || c.Role == api.RoleVoter {
			voters++
			if c.Alive {
				healthy++
			}
		}
		if !c.Alive {
			silent = append(silent, c.ID)
		}
		if c.Problem != "" && !c.Self {
			s.Problems = append(s.Problems, api.Problem{What: fmt.Sprintf("controller %s %s", c.ID, c.Problem), Cure: cureOf(c)})
		}
	}
	if s.Quorum {
		return
	}
	p := api.Problem{What: "no controller leads: nothing can be changed; known nodes still boot", Cure: "wait a few seconds for an election, and see the log of samara serve"}
	if healthy <= voters/2 {
		p.What = fmt.Sprintf("no controller leads, because only %d of %d voters answer: nothing can be changed; known nodes still boot", healthy, voters)
		p.Cure = fmt.Sprintf("start samara on %s; only if a majority is lost for good: systemctl stop samara, then samara controller recover, on the one controller that is to go on", strings.Join(silent, ", "))
	}
	s.Problems = append(s.Problems, p)
}

// cureOf says what to do about a controller that has a problem.
func cureOf(c api.ControllerView) string {
	switch {
	case !c.Alive && c.Role == api.RoleJoining:
		return fmt.Sprintf("start samara on %s (%s)", c.ID, c.Address.Addr())
	case !c.Alive:
		return fmt.Sprintf("start samara on %s (%s), or look at its network; if it is gone for good: samara controller remove %s, then join another", c.ID, c.Address.Addr(), c.ID)
	case c.BlobsMissing > 0:
		return "nothing to do: it fetches them from the others; samara controller list shows how far it is"
	}
	return fmt.Sprintf("samara status on %s says more", c.ID)
}

// disk returns how full the file system of the controller's directory is.
func (h *health) disk() api.DiskUsage {
	var fs unix.Statfs_t
	if err := unix.Statfs(h.blobs.Dir(), &fs); err != nil {
		return api.DiskUsage{}
	}
	return api.DiskUsage{Free: int64(fs.Bavail) * fs.Bsize, Size: int64(fs.Blocks) * fs.Bsize}
}

// lowDisk reports whether a disk is nearly full for a controller whose largest blob has so many bytes: whether it has
// no room for two more of that size. A share of the disk would not do: a tenth of a disk that others use too can be
// far more than a controller ever needs, and a tenth of a small one less than the next image. A disk of no size is
// one that could not be asked.
func lowDisk(d api.DiskUsage, largest int64) bool {
	return d.Size > 0 && d.Free < max(leastFree, 2*largest)
}

// hello says how this controller is, to the others.
func (h *health) hello() api.Hello {
	state := h.store.State()
	cluster, _ := state.Cluster()
	blobs := h.depot.repair.counts()
	return api.Hello{
		ID: h.self.ID, Cluster: cluster.ID, Version: h.version, Format: fleet.Format, Raft: stats(h.store),
		Revision: state.Revision(), Leader: h.store.Status().Leader, Disk: h.disk(),
		Blobs: blobs.have, BlobsMissing: blobs.missing, BlobsCorrupt: blobs.corrupt, Time: h.now().UTC(),
		Offers: h.depot.origin.offers(),
	}
}
