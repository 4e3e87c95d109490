package fleet

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestARosterHoldsWhatItWasMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		address := rapid.Custom(func(t *rapid.T) netip.Addr {
			return netip.AddrFrom4([4]byte{10, 0, byte(rapid.IntRange(0, 2).Draw(t, "third")), rapid.Byte().Draw(t, "fourth")})
		})
		members := rapid.SliceOf(address).Draw(t, "members")
		r := NewRoster(members)
		in := map[netip.Addr]bool{}
		for _, m := range members {
			in[m] = true
		}
		for a := netip.MustParseAddr("9.255.255.255"); a != netip.MustParseAddr("10.0.3.1"); a = a.Next() {
			if r.Holds(a) != in[a] || r.Holds(netip.AddrFrom16(a.As16())) != in[a] {
				t.Fatalf("%v holds %s: %t, want %t", r.Ranges, a, r.Holds(a), in[a])
			}
		}
		for i, g := range r.Ranges {
			if g.Last.Less(g.First) || i > 0 && !r.Ranges[i-1].Last.Next().Less(g.First) {
				t.Fatalf("ranges %v are not folded", r.Ranges)
			}
		}
		again := NewRoster(append(rapid.Permutation(members).Draw(t, "order"), members...))
		if again.ID != r.ID {
			t.Fatalf("the same addresses make %s and %s", r.ID, again.ID)
		}
	})
}

func TestRostersThatDifferHaveDifferentIDs(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	seen := map[string]bool{}
	for _, members := range [][]netip.Addr{nil, {a}, {b}, {a, b}} {
		seen[NewRoster(members).ID] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d ids for 4 rosters", len(seen))
	}
	if (Roster{}).Holds(a) {
		t.Error("the zero roster names somebody")
	}
}
