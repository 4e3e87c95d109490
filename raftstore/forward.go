package raftstore

import (
	"context"

	"github.com/samara-hpc/samara/fleet"
)

// A Peer is how a store asks the store of another controller, at that controller's control address. Errors are those
// of the methods that it stands for.
type Peer interface {
	Propose(ctx context.Context, address string, entry []byte) (fleet.Revision, error) // its ProposeEncoded
	ReadIndex(ctx context.Context, address string, c Consistency) (fleet.Revision, error)
	Stats(ctx context.Context, address string) (Stats, error)
}

// Consistency says how fresh a read is.
type Consistency string

const (
	Stale        Consistency = "stale"        // this controller's state
	Default      Consistency = "default"      // all that was acknowledged before, by the leader's word
	Linearizable Consistency = "linearizable" // all that was acknowledged before, the leader having asked a majority
)
