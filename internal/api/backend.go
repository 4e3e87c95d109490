package api

import (
	"context"
	"io"
	"net/netip"

	"github.com/samara-hpc/samara/fleet"
)

// A Store is the controller's replica of the fleet. Its methods are called from any goroutine.
type Store interface {
	// State returns the newest state that this controller has applied. It does not block.
	State() fleet.State
	// Propose commits e and returns the revision at which this controller has applied it. The error is the reason e
	// was refused, or wraps ErrNotLeader or ErrUnavailable.
	Propose(ctx context.Context, e fleet.Entry) (fleet.Revision, error)
}

// Images makes and describes image versions. Its methods are called from any goroutine.
type Images interface {
	// Import makes a new version of an image, publishes it and returns it. It calls progress, from one goroutine at a
	// time, until it returns; progress never blocks for long. When ctx ends it stops and leaves nothing behind.
	Import(ctx context.Context, r ImportRequest, progress func(Progress)) (fleet.ImageVersion, error)
	// Torrent returns the .torrent file of an image version. The error is fleet.ErrNotFound if there is none.
	Torrent(ctx context.Context, ref fleet.ImageRef) ([]byte, error)
}

// An ImportRequest says what to make an image version of: exactly one of Path and Stream is set.
type ImportRequest struct {
	Name   string    // of the image, already checked
	Path   string    // absolute, of a directory or a tar file on the controller
	Stream io.Reader // a tar stream; it ends with io.EOF, or with another error if the client went away
	Source string    // what the user called it, for fleet.ImageVersion.Source
	// Firmware asks for the image's firmware of network cards in the initramfs.
	Firmware bool
	Who      string // for the audit record, as in fleet.Entry
	Why      string // for the audit record, as in fleet.Entry
}

// An Observer knows what controllers saw of machines that boot. Its methods are called from any goroutine; what they
// return is the caller's.
type Observer interface {
	// Unknown returns the machines that asked to boot and that no node claims, newest first.
	Unknown() []fleet.UnknownMachine
	// Boots returns the boots of one node that are remembered, newest first.
	Boots(node string) []fleet.Boot
	// Latest returns the newest boot of every node that was seen, by the node's name.
	Latest() map[string]fleet.Boot
}

// Agents answers the programs inside nodes. Its methods are called from any goroutine. node is the name in the agent's
// certificate; remote is where it called from.
type Agents interface {
	// Enroll trades a boot token for a certificate and a manifest. The error wraps identity.ErrToken if the token is
	// refused.
	Enroll(ctx context.Context, remote netip.AddrPort, r fleet.EnrollRequest) (fleet.EnrollAnswer, error)
	// Renew issues a fresh certificate to a node that still has a valid one.
	Renew(ctx context.Context, node string, r fleet.RenewRequest) (fleet.RenewAnswer, error)
	// Report takes note of a boot.
	Report(ctx context.Context, node string, remote netip.AddrPort, r fleet.Report) error
	// Swarm takes note of a boot and says whom to fetch the image from.
	Swarm(ctx context.Context, node string, remote netip.AddrPort, r fleet.Report) (fleet.SwarmAnswer, error)
}

// Health knows how the controller is. Its method is called from any goroutine.
type Health interface {
	// Status returns what the controller knows of itself. The server fills in Cluster, Revision, Nodes and Images
	// from the Store and the Observer; Health leaves them zero.
	Status(ctx context.Context) Status
}
