package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
)

// A Roster is the addresses that may take part in a cluster's swarms: of its nodes and controllers. The zero value names
// nobody.
type Roster struct {
	ID     string         `json:"id"`               // equal for equal ranges, whoever made them
	Ranges []AddressRange `json:"ranges,omitempty"` // in ascending order, neither touching nor overlapping
}

// An AddressRange is the addresses from First to Last, both included.
type AddressRange struct {
	First netip.Addr `json:"first"`
	Last  netip.Addr `json:"last"`
}

// NewRoster folds addresses, in any order, into a roster.
func NewRoster(addresses []netip.Addr) Roster {
	sorted := slices.Clone(addresses)
	slices.SortFunc(sorted, netip.Addr.Compare)
	var r Roster
	for _, a := range sorted {
		if n := len(r.Ranges); n > 0 && (a == r.Ranges[n-1].Last || a == r.Ranges[n-1].Last.Next()) {
			r.Ranges[n-1].Last = a
			continue
		}
		r.Ranges = append(r.Ranges, AddressRange{a, a})
	}
	sum := sha256.New()
	for _, g := range r.Ranges {
		sum.Write(g.First.AsSlice())
		sum.Write(g.Last.AsSlice())
	}
	r.ID = hex.EncodeToString(sum.Sum(nil)[:8])
	return r
}

// Holds reports whether the roster names an address.
func (r Roster) Holds(a netip.Addr) bool {
	a = a.Unmap()
	i, exact := slices.BinarySearchFunc(r.Ranges, a, func(g AddressRange, a netip.Addr) int { return g.First.Compare(a) })
	return exact || i > 0 && a.Compare(r.Ranges[i-1].Last) <= 0
}
