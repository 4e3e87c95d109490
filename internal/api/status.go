package api

import (
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A Status is how a controller and its cluster are.
type Status struct {
	Cluster  string         `json:"cluster"`
	ID       string         `json:"id"` // of the controller that answers
	Version  string         `json:"version"`
	Role     string         `json:"role"`   // in the Raft group: leader, follower, candidate
	Leader   string         `json:"leader"` // the leading controller's id; "" if none is known
	Quorum   bool           `json:"quorum"` // whether changes can be committed
	Revision fleet.Revision `json:"revision"`
	Uptime   time.Duration  `json:"uptime_ns"`
	Nodes    map[string]int `json:"nodes"`   // how many nodes are in each state; see NodeView.State
	Images   int            `json:"images"`  // image versions
	Members  int            `json:"members"` // processes that gossip calls alive, this one included
	Blobs    BlobUsage      `json:"blobs"`
	Disk     DiskUsage      `json:"disk"`
	Boot     BootServices   `json:"boot"`
	Seeding  Seeding        `json:"seeding"`
	Problems []Problem      `json:"problems"` // empty if all is well

	Controllers []ControllerView `json:"controllers"`  // by id, as the one that answers sees them
	Voters      int              `json:"voters"`       // controllers that have a vote
	HA          string           `json:"ha,omitempty"` // why the cluster does not outlive a controller; "" if it does
	Format      int              `json:"format"`       // of the log: what every controller is known to understand
}

// BlobUsage is what the controller's blob store holds.
type BlobUsage struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// DiskUsage is the file system of the controller's blob store, in bytes.
type DiskUsage struct {
	Free int64 `json:"free"` // to an unprivileged process
	Size int64 `json:"size"`
}

// Seeding is what this controller does as an origin of swarms.
type Seeding struct {
	Torrents    int   `json:"torrents"`     // blobs on offer
	Peers       int   `json:"peers"`        // connected now
	OriginBytes int64 `json:"origin_bytes"` // payload sent to nodes since the controller started
	CopiedBytes int64 `json:"copied_bytes"` // payload sent to other controllers
}

// BootServices counts what machines that boot asked of this controller since it started.
type BootServices struct {
	Requests  uint64 `json:"requests"`  // DHCP datagrams
	Answers   uint64 `json:"answers"`   // DHCP replies
	Malformed uint64 `json:"malformed"` // DHCP datagrams that were no requests, and were dropped
	Unknown   uint64 `json:"unknown"`   // DHCP requests of machines that no node claims
	Dropped   uint64 `json:"dropped"`   // DHCP requests over the limits, of one machine or of all
	TFTP      uint64 `json:"tftp"`      // files sent
	HTTP      uint64 `json:"http"`      // requests

	HTTPFailed uint64 `json:"http_failed"` // of those, answered with an error or cut off by one
	HeldFiles  uint64 `json:"held_files"`  // kernels and initramfs in memory now
	HeldBytes  uint64 `json:"held_bytes"`  // of those
}

// A Problem is something that a person should see to, and how.
type Problem struct {
	What string `json:"what"`
	Cure string `json:"cure"` // a command to type or a thing to do
}

// Progress is how far an import has come, or a warning.
type Progress struct {
	Step    string `json:"step,omitempty"`    // such as "read" or "squashfs", in the importer's words
	Done    int64  `json:"done,omitempty"`    // bytes
	Total   int64  `json:"total,omitempty"`   // bytes; 0 if not known
	Note    string `json:"note,omitempty"`    // what numbers do not say, such as "2 of 3 controllers"
	Warning string `json:"warning,omitempty"` // what a person should know of the image; the other fields are then 0
}
