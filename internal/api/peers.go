package api

import (
	"encoding/json"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A Hello is how a controller tells another that it lives, and how it is.
type Hello struct {
	ID           string          `json:"id"`
	Cluster      string          `json:"cluster"` // the cluster's id
	Version      string          `json:"version"` // of its program
	Format       int             `json:"format"`  // of the log that its program understands
	Raft         json.RawMessage `json:"raft"`    // raftstore.Stats
	Revision     fleet.Revision  `json:"revision"`
	Leader       string          `json:"leader"` // the id of who leads as it knows; "" if nobody
	Disk         DiskUsage       `json:"disk"`
	Blobs        int             `json:"blobs"`         // that it holds of those the state names
	BlobsMissing int             `json:"blobs_missing"` // that it lacks of those
	BlobsCorrupt int             `json:"blobs_corrupt"` // that its last scrub found wrong
	Time         time.Time       `json:"time"`          // by its clock
	Offers       []Offer         `json:"offers,omitempty"`
}

// An Offer is a root that a controller gives to peers, and what it gave.
type Offer struct {
	Root   fleet.Digest `json:"root"`
	Peers  int          `json:"peers"`  // connected now
	Sent   int64        `json:"sent"`   // bytes of payload to nodes since the controller started
	Copied int64        `json:"copied"` // bytes of payload to other controllers
	Rate   int64        `json:"rate"`   // bytes per second now, of both
	Unsent int          `json:"unsent"` // pieces that it has not sent whole since it last opened the root
}

// MaxOffers bounds the offers in one Hello. Controllers that offer more show all pieces of the others to anybody.
const MaxOffers = 256

// A PullRequest asks a controller to fetch blobs.
type PullRequest struct {
	From  string    `json:"from"`            // the id of a controller that holds them
	Image string    `json:"image,omitempty"` // that they are for, in messages
	Blobs PullBlobs `json:"blobs"`
}

// PullBlobs are what to fetch. A zero blob is not asked for.
type PullBlobs struct {
	Root      fleet.Blob `json:"root,omitzero"` // by swarm, with Torrent
	Torrent   fleet.Blob `json:"torrent,omitzero"`
	Kernel    fleet.Blob `json:"kernel,omitzero"`
	Initramfs fleet.Blob `json:"initramfs,omitzero"`
}

// Observations are what one controller saw of machines that boot.
type Observations struct {
	Boots   []fleet.Boot           `json:"boots,omitempty"`
	Unknown []fleet.UnknownMachine `json:"unknown,omitempty"`
	Spent   []identity.SpentToken  `json:"spent,omitempty"`
	Next    string                 `json:"next"` // the mark to ask with for what comes after
	Time    time.Time              `json:"time"` // by the clock of who saw, when it answered
}

// A Committed is the answer of a leader to another controller's question for a revision.
type Committed struct {
	Revision fleet.Revision `json:"revision"`
}

// A ReadRequest asks the leader how new a state must be.
type ReadRequest struct {
	Consistency Consistency `json:"consistency"`
}

// A pullLine is one line of the answer to a PullRequest. The last one has Done or Error.
type pullLine struct {
	Progress *Progress  `json:"progress,omitempty"`
	Done     bool       `json:"done,omitempty"`
	Error    *errorBody `json:"error,omitempty"`
}
