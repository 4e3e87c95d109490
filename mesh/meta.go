package mesh

import (
	"errors"
	"fmt"
	"slices"

	"github.com/samara-hpc/samara/fleet"
)

// A Role says what a member is.
type Role uint8

// The roles. Their numbers travel; they are never reused.
const (
	RoleController Role = 1
	RoleNode       Role = 2
)

// String returns the role's name.
func (r Role) String() string {
	switch r {
	case RoleController:
		return "controller"
	case RoleNode:
		return "node"
	default:
		return fmt.Sprintf("role %d", uint8(r))
	}
}

// Bounds of a Meta. With all of them used it has 171 bytes; memberlist carries up to 512, but every byte travels with
// every change of every member.
const (
	MaxRack     = 64 // bytes
	MaxBootID   = 32 // bytes
	MaxHoldings = 4
	maxMeta     = 200
)

// A Prefix is the first half of a blob's digest: enough to tell the blobs of a cluster apart.
type Prefix [16]byte

// PrefixOf returns the prefix of a digest.
func PrefixOf(d fleet.Digest) Prefix { return Prefix(d[:16]) }

// A Holding says that a member has a blob, or a part of it and is fetching the rest.
type Holding struct {
	Blob     Prefix
	Complete bool
}

// A Meta is what a member says of itself. It is a hint, never proof: whoever holds the gossip key can say anything.
type Meta struct {
	Role     Role
	Swarm    uint16 // TCP port for BitTorrent, 0 if none
	Rack     string // at most MaxRack bytes, "" if unknown
	BootID   string // at most MaxBootID bytes, "" for a controller
	Holdings []Holding
}

// Equal reports whether two metas say the same.
func (m Meta) Equal(o Meta) bool {
	return m.Role == o.Role && m.Swarm == o.Swarm && m.Rack == o.Rack && m.BootID == o.BootID && slices.Equal(m.Holdings, o.Holdings)
}

// Holds reports whether m names a blob, and whether all of it is there.
func (m Meta) Holds(d fleet.Digest) (some, all bool) {
	p := PrefixOf(d)
	for _, h := range m.Holdings {
		if h.Blob == p {
			return true, h.Complete
		}
	}
	return false, false
}

// metaVersion begins every encoded meta. A later version may append fields; a change of those that are there needs
// another number, after a release that understands it.
const metaVersion = 1

// errMeta is the reason in every error about an encoded meta.
var errMeta = errors.New("bad member description")

// encode returns the form that travels: version, role, port (big endian), rack, boot id and holdings, each of the latter
// three after its length in one byte.
func (m Meta) encode() ([]byte, error) {
	switch {
	case m.Role != RoleController && m.Role != RoleNode:
		return nil, fmt.Errorf("%w: %s does not exist", errMeta, m.Role)
	case len(m.Rack) > MaxRack:
		return nil, fmt.Errorf("%w: rack %q has %d bytes: at most %d are allowed", errMeta, m.Rack, len(m.Rack), MaxRack)
	case len(m.BootID) > MaxBootID:
		return nil, fmt.Errorf("%w: boot id %q has %d bytes: at most %d are allowed", errMeta, m.BootID, len(m.BootID), MaxBootID)
	case len(m.Holdings) > MaxHoldings:
		return nil, fmt.Errorf("%w: %d blobs held: at most %d can be named", errMeta, len(m.Holdings), MaxHoldings)
	}
	b := make([]byte, 0, maxMeta)
	b = append(b, metaVersion, byte(m.Role), byte(m.Swarm>>8), byte(m.Swarm))
	b = append(append(b, byte(len(m.Rack))), m.Rack...)
	b = append(append(b, byte(len(m.BootID))), m.BootID...)
	b = append(b, byte(len(m.Holdings)))
	for _, h := range m.Holdings {
		b = append(b, h.Blob[:]...)
		if h.Complete {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b, nil
}

// parseMeta reads what encode wrote, in this version or a later one with more fields behind.
func parseMeta(b []byte) (Meta, error) {
	r := reader{rest: b}
	version := r.byte()
	m := Meta{Role: Role(r.byte()), Swarm: uint16(r.byte())<<8 | uint16(r.byte())}
	m.Rack = string(r.take(int(r.byte()), MaxRack))
	m.BootID = string(r.take(int(r.byte()), MaxBootID))
	n := int(r.byte())
	if n > MaxHoldings {
		r.bad = true
		n = 0
	}
	for range n {
		var h Holding
		copy(h.Blob[:], r.take(len(h.Blob), len(h.Blob)))
		h.Complete = r.byte() == 1
		m.Holdings = append(m.Holdings, h)
	}
	if r.bad || version != metaVersion || m.Role != RoleController && m.Role != RoleNode {
		return Meta{}, fmt.Errorf("%w of %d bytes, version %d", errMeta, len(b), version)
	}
	return m, nil
}

// A reader takes bytes off a slice. Once there were too few, or more than allowed were asked for, it is bad.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n, most int) []byte {
	if r.bad || n > most || n > len(r.rest) {
		r.bad = true
		return nil
	}
	got := r.rest[:n]
	r.rest = r.rest[n:]
	return got
}

func (r *reader) byte() byte {
	if b := r.take(1, 1); b != nil {
		return b[0]
	}
	return 0
}
