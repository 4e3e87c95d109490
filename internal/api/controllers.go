package api

import (
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Roles of a controller in a ControllerView.
const (
	RoleLeader  = "leader"
	RoleVoter   = "voter"
	RoleLearner = "learner" // receives everything and has no vote yet, or no more
	RoleJoining = "joining" // in the state, not yet in the Raft group
)

// A ControllerView is one controller as another sees it.
type ControllerView struct {
	ID           string         `json:"id"`
	Address      netip.AddrPort `json:"address"` // of its control port
	Role         string         `json:"role"`    // leader, voter, learner or joining
	Alive        bool           `json:"alive"`
	Seen         time.Time      `json:"seen,omitzero"` // when it was last heard of; zero if never
	Lag          uint64         `json:"lag"`           // entries that it is behind the leader; 0 if that is not known
	Revision     fleet.Revision `json:"revision"`      // that it has applied
	Version      string         `json:"version"`       // of its program
	Format       int            `json:"format"`        // of the log that its program understands
	Blobs        int            `json:"blobs"`         // that it holds of those the state names
	BlobsMissing int            `json:"blobs_missing"` // that it lacks of those
	Disk         DiskUsage      `json:"disk"`
	Problem      string         `json:"problem,omitempty"` // what is wrong with it; "" if nothing is
	Self         bool           `json:"self,omitempty"`    // the one that answers
}

// A JoinToken lets one machine become a controller, once.
type JoinToken struct {
	Token   string    `json:"token"` // one word; see identity.ParseJoinToken
	Expires time.Time `json:"expires"`
}

// A JoinRequest asks to be taken in as a controller.
type JoinRequest struct {
	Token   string      `json:"token"`   // the whole word
	ID      string      `json:"id"`      // the name that the controller is to have
	Address netip.Addr  `json:"address"` // where nodes and other controllers will reach it
	Ports   fleet.Ports `json:"ports"`
	CSR     []byte      `json:"csr"`    // DER PKCS #10; only its public key counts
	Format  int         `json:"format"` // of the log that its program understands
	Version string      `json:"version"`
	Time    time.Time   `json:"time"` // by its clock
}

// A JoinAnswer is all that a machine needs to be a controller.
type JoinAnswer struct {
	Cluster     string             `json:"cluster"`
	ClusterID   string             `json:"cluster_id"`
	CA          []byte             `json:"ca"`          // PEM
	Certificate []byte             `json:"certificate"` // PEM chain
	SealKey     fleet.Secret       `json:"seal_key"`    // opens the sealed secrets of the state
	Controllers []fleet.Controller `json:"controllers"` // the new one among them
	Time        time.Time          `json:"time"`        // by the clock of the controller that answers
}

// A TokenRequest asks for a JoinToken.
type TokenRequest struct {
	Life int64 `json:"life_s"` // seconds; 0 is DefaultTokenLife
}

// Lives of a JoinToken: what is meant by none, and what can be asked for.
const (
	DefaultTokenLife = time.Hour
	MaxTokenLife     = 7 * 24 * time.Hour
)

// A TransferRequest asks to hand over the leadership.
type TransferRequest struct {
	To string `json:"to,omitempty"` // the controller that is to lead; "" is any that is fit
}
