package api

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A Store is the controller's replica of the fleet. Its methods are called from any goroutine.
type Store interface {
	// State returns the newest state that this controller has applied. It does not block.
	State() fleet.State
	// Read returns a state that is at least as new as c promises. The error wraps ErrNotLeader or ErrUnavailable if
	// that cannot be had.
	Read(ctx context.Context, c Consistency) (fleet.State, error)
	// Propose commits e, whoever leads, and returns the revision at which this controller has applied it. An entry
	// with the id of one that was decided before is not applied again: its outcome is returned. The error is the reason
	// e was refused, or wraps ErrUncertain, ErrNotLeader or ErrUnavailable; after ErrUncertain e may still commit.
	Propose(ctx context.Context, e fleet.Entry) (fleet.Revision, error)
	// Wait returns the state once its revision is above after, or an error when ctx ends or the store does.
	Wait(ctx context.Context, after fleet.Revision) (fleet.State, error)
	// StateAt returns the state as it was at a revision; false if that is not remembered.
	StateAt(rev fleet.Revision) (fleet.State, bool)
}

// Controllers knows and changes who the controllers are. Its methods are called from any goroutine.
type Controllers interface {
	// List returns every controller, by id, as this one sees it. It does not wait for others.
	List() []ControllerView
	// Token makes a word that lets one machine become a controller, and that expires after life.
	Token(ctx context.Context, life time.Duration, who, why string) (JoinToken, error)
	// Join takes a machine in. The error wraps fleet.ErrJoin if the token is refused, fleet.ErrExists if the name or the
	// address is taken, fleet.ErrFormat if the machine's program is too old, ErrClock if its clock is too far off. The same
	// machine may ask again with the same key.
	Join(ctx context.Context, remote netip.AddrPort, r JoinRequest) (JoinAnswer, error)
	// Remove takes a controller out of the cluster; with force, even if that costs the quorum or blobs.
	Remove(ctx context.Context, id string, force bool, who, why string) (fleet.Revision, error)
	// Transfer hands the leadership to a controller, whoever leads now; to any that is fit if to is "".
	Transfer(ctx context.Context, to string) error
}

// Peers answers other controllers. Its methods are called from any goroutine.
type Peers interface {
	// Hello says how this controller is. It does not block.
	Hello() Hello
	// Propose commits an encoded entry, as the leader. The errors are those of Store.Propose; ErrNotLeader means that
	// nothing was done.
	Propose(ctx context.Context, entry []byte) (fleet.Revision, error)
	// ReadIndex returns, as the leader, the revision up to which a replica must have applied to read with c.
	ReadIndex(ctx context.Context, c Consistency) (fleet.Revision, error)
	// Transfer hands this controller's leadership to another; to any that is fit if to is "".
	Transfer(ctx context.Context, to string) error
	// Observed returns what this controller saw after the mark of an earlier answer, all that it remembers if the mark
	// is "" or not its own. It waits up to ten seconds for something to tell.
	Observed(ctx context.Context, after string) (Observations, error)
	// Pull fetches blobs from another controller, verifies and keeps them. It calls progress as Images.Import does.
	Pull(ctx context.Context, r PullRequest, progress func(Progress)) error
	// OpenBlob opens a blob that this controller holds, and returns its size. The error wraps fleet.ErrNotFound if it
	// holds none.
	OpenBlob(d fleet.Digest) (io.ReadCloser, int64, error)
}

// Backups writes the state into one file. Its method is called from any goroutine.
type Backups interface {
	// Write writes a backup with its own end mark and checksum; with blobs, what images need too. An error before the
	// first byte is answered as everywhere; after it, the backup is torn.
	Write(ctx context.Context, w io.Writer, blobs bool) error
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
	// Report takes note of a boot and says whom to fetch the image from.
	Report(ctx context.Context, node string, remote netip.AddrPort, r fleet.Report) (fleet.SwarmAnswer, error)
}

// Health knows how the controller is. Its method is called from any goroutine.
type Health interface {
	// Status returns what the controller knows of itself. The server fills in Cluster, Revision, Format, Nodes, Images,
	// Controllers, Voters and HA from the other backends; Health leaves them zero.
	Status(ctx context.Context) Status
}
