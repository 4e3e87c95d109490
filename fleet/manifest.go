package fleet

import (
	"net/netip"
	"slices"
	"time"
)

// The routes of a controller's control port that agents use, POST with JSON in and out over TLS. Enroll is open
// to whoever holds a boot token; the others need the client certificate that Enroll returns.
const (
	AgentEnrollPath = "/v1/agent/enroll"
	AgentRenewPath  = "/v1/agent/renew"
	AgentReportPath = "/v1/agent/report"
)

// AgentBlobPath is where an agent reads ranges of its image from a controller when the swarm gives it nothing: GET with
// a Range, the digest in hexadecimal appended. A controller that serves as many nodes as it may says 503 with
// Retry-After.
const AgentBlobPath = "/v1/agent/blob/"

// MaxAgentRequest bounds the body of an agent's request, and MaxAgentAnswer that of a controller's answer, in bytes.
const (
	MaxAgentRequest = 64 << 10
	MaxAgentAnswer  = 4 << 20
)

// An EnrollRequest trades a boot token for the node's certificate and manifest. It may be repeated with the same
// token and the same key until it succeeds; with another key it is refused, since a token is spent by the first.
type EnrollRequest struct {
	Token string `json:"token"` // from samara.boot= on the kernel's command line
	CSR   []byte `json:"csr"`   // DER PKCS #10; only its public key counts
}

// An EnrollAnswer is what a node needs to boot and to be known afterwards.
type EnrollAnswer struct {
	Certificate []byte   `json:"certificate"` // PEM: the node's certificate
	Manifest    Manifest `json:"manifest"`
}

// A RenewRequest asks for a fresh certificate before the present one expires.
type RenewRequest struct {
	CSR []byte `json:"csr"`
}

// A RenewAnswer holds the fresh certificate, and the controllers to ask from now on.
type RenewAnswer struct {
	Certificate []byte       `json:"certificate"`
	Controllers []Controller `json:"controllers,omitempty"` // none: as before
}

// A Manifest is the boot plan as the agent receives it.
type Manifest struct {
	Revision       Revision     `json:"revision"`
	Cluster        string       `json:"cluster"`
	ClusterID      string       `json:"cluster_id"`
	Node           string       `json:"node"`
	BootID         string       `json:"boot_id"`
	MAC            MAC          `json:"mac"` // of the interface that booted
	Rack           string       `json:"rack,omitempty"`
	Address        netip.Prefix `json:"address"` // the node's address with the length of its network's prefix
	Gateway        netip.Addr   `json:"gateway,omitzero"`
	DNS            []netip.Addr `json:"dns,omitempty"`
	Domain         string       `json:"domain,omitempty"`
	MachineID      string       `json:"machine_id"`
	AuthorizedKeys []string     `json:"authorized_keys,omitempty"`
	Image          string       `json:"image"`
	Version        int          `json:"version"`
	Root           Blob         `json:"root"`
	Init           string       `json:"init,omitempty"` // what the node runs first in its root; "": what Linux would
	Torrent        []byte       `json:"torrent"`        // the bencoded info dictionary; Root is its only file
	Controllers    []Controller `json:"controllers"`
	Ports          Ports        `json:"ports"` // the node's own: Swarm and Gossip
	Roster         Roster       `json:"roster,omitzero"`
	Seeding        Seeding      `json:"seeding,omitzero"`
	Reseed         Reseed       `json:"reseed,omitempty"`
	MeshKey        Secret       `json:"mesh_key,omitempty"` // nil: this node takes no part in gossip
	Time           time.Time    `json:"time"`               // the controller's clock when it answered
}

// A Phase is a step of a boot. Phases are observations: they travel in reports, never through Raft.
type Phase string

// The phases of a boot, in order. Controllers see those up to initramfs; agents report the others.
const (
	PhaseDHCP      Phase = "dhcp"       // first DHCP answer of this boot
	PhaseLoader    Phase = "loader"     // network boot program sent over TFTP or HTTP, or seen to run
	PhaseScript    Phase = "script"     // iPXE script sent; the boot id is minted here
	PhaseKernel    Phase = "kernel"     // kernel sent
	PhaseInitramfs Phase = "initramfs"  // initramfs sent
	PhaseAgent     Phase = "agent"      // agent started as PID 1
	PhaseNetwork   Phase = "network"    // modules loaded, boot interface up with an address
	PhaseManifest  Phase = "manifest"   // manifest received
	PhaseFirstByte Phase = "first-byte" // first verified piece of the image
	PhaseImage     Phase = "image"      // all pieces of the image in RAM
	PhaseVerified  Phase = "verified"   // SHA-256 of the whole image checked
	PhaseMounted   Phase = "mounted"    // root filesystem mounted and filled in
	PhaseSwitched  Phase = "switched"   // the image's init runs
	PhaseReady     Phase = "ready"      // the image's init says that the system is up
)

// Phases returns all phases in order.
func Phases() []Phase {
	return []Phase{PhaseDHCP, PhaseLoader, PhaseScript, PhaseKernel, PhaseInitramfs, PhaseAgent, PhaseNetwork,
		PhaseManifest, PhaseFirstByte, PhaseImage, PhaseVerified, PhaseMounted, PhaseSwitched, PhaseReady}
}

// Order returns the place of p among the phases, from 0, or -1 if it is none of them.
func (p Phase) Order() int { return slices.Index(Phases(), p) }

// A Report is all that an agent knows of its boot. It is sent whole each time, so that a controller that restarted
// learns it again.
type Report struct {
	BootID  string        `json:"boot_id"`
	Phases  []PhaseReport `json:"phases"`
	Failure string        `json:"failure,omitempty"` // why the present step fails and is being retried; "" while all is well
	Swarm   SwarmReport   `json:"swarm"`
}

// A PhaseReport says how long ago a phase was reached. Agents' clocks may be absurd before they reach a controller,
// so ages travel, not times.
type PhaseReport struct {
	Phase  Phase         `json:"phase"`
	Age    time.Duration `json:"age_ns"`
	Detail string        `json:"detail,omitempty"`
}

// A SwarmReport says what a node holds and moved of its image, in bytes of payload, and how its peers behave.
type SwarmReport struct {
	Blob        Digest      `json:"blob,omitzero"`
	Have        int64       `json:"have"` // verified
	Complete    bool        `json:"complete"`
	FromOrigin  int64       `json:"from_origin"`            // received from controllers as peers
	FromPeers   int64       `json:"from_peers"`             // received from other nodes
	FromControl int64       `json:"from_control,omitempty"` // received from controllers by AgentBlobPath
	Uploaded    int64       `json:"uploaded"`
	Peers       int         `json:"peers,omitempty"`  // connected now
	Paused      string      `json:"paused,omitempty"` // why the node sends nothing now; "" while it does
	Ended       bool        `json:"ended,omitempty"`  // Paused is the node's Reseed, and holds until that is changed
	Roster      string      `json:"roster,omitempty"` // Roster.ID of the one it goes by
	Complaints  []Complaint `json:"complaints,omitempty"`
}

// A Complaint is what a node has against a peer. Complaints name suspects: controllers stop naming a peer that several
// complain about, and show it to people; nothing else follows from one.
type Complaint struct {
	Peer  netip.Addr    `json:"peer"`
	Fault PeerFault     `json:"fault"`
	Count int           `json:"count"`  // times since the node began to fetch
	Age   time.Duration `json:"age_ns"` // of the latest
}

// MaxComplaints bounds the complaints in one report: of wrong bytes first, and then the latest of each peer and fault.
const MaxComplaints = 32

// A PeerFault is a kind of misbehaviour of a peer.
type PeerFault string

// The faults of peers.
const (
	FaultCorrupt  PeerFault = "corrupt"  // sent bytes that do not match the piece's sum
	FaultStalled  PeerFault = "stalled"  // offered a piece, was asked for it, and sent nothing
	FaultProtocol PeerFault = "protocol" // sent what the protocol forbids
	FaultFlood    PeerFault = "flood"    // called more often than a peer has reason to
	FaultStranger PeerFault = "stranger" // is no member of the cluster
)

// Lasts returns how long a complaint is held against a peer after the last time. Whatever damages bytes, its memory or its
// disk, is no better a while later, nor after a boot; the other faults come and go.
func (f PeerFault) Lasts() time.Duration {
	if f == FaultCorrupt {
		return time.Hour
	}
	return time.Minute
}

// MaxReportText bounds a detail or failure in a report, in bytes.
const MaxReportText = 1024

// A SwarmAnswer is what a controller tells an agent that reports.
type SwarmAnswer struct {
	Peers    []netip.AddrPort `json:"peers,omitempty"`  // nodes to fetch from; none for a node that is complete
	Origin   []netip.AddrPort `json:"origin,omitempty"` // controllers that may be asked, empty if peers suffice
	Interval time.Duration    `json:"interval_ns"`      // until the next report
	Roster   *Roster          `json:"roster,omitempty"` // nil: the one that the agent reported is right
	Seeding  Seeding          `json:"seeding,omitzero"`
	Reseed   Reseed           `json:"reseed,omitempty"`
}
