package seeder

import (
	"net/netip"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestFaultsAreBoundedForEachKind(t *testing.T) {
	var f faults
	addr := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }
	if got := f.list(); len(got) != 0 {
		t.Errorf("at first: got %v, want none", got)
	}
	f.add(addr(1), fleet.FaultCorrupt)
	for range 3 {
		f.add(addr(2), fleet.FaultStalled)
	}
	for n := range 3 * maxCulprits {
		f.add(addr(n), fleet.FaultStranger)
	}
	f.once(addr(1), fleet.FaultCorrupt)
	f.once(addr(3), fleet.FaultCorrupt)
	count := map[fleet.PeerFault]int{}
	last := f.list()[0].Last
	for _, got := range f.list() {
		if got.Last.After(last) {
			t.Errorf("%+v comes after an earlier fault", got)
		}
		last = got.Last
		count[got.Kind]++
		if got.Kind == fleet.FaultStalled && (got.Count != 3 || got.Peer != addr(2)) {
			t.Errorf("got %+v, want three of %s", got, addr(2))
		}
		if got.Kind == fleet.FaultCorrupt && got.Count != 1 {
			t.Errorf("got %+v, want one", got)
		}
	}
	if count[fleet.FaultStranger] != maxCulprits || count[fleet.FaultStalled] != 1 || count[fleet.FaultCorrupt] != 2 {
		t.Errorf("got %v faults of each kind", count)
	}
	for _, got := range f.list() {
		if got.Kind == fleet.FaultStranger && got.Peer.Compare(addr(2*maxCulprits)) < 0 {
			t.Errorf("%s, who called early, crowds out who called last", got.Peer)
		}
	}
}
