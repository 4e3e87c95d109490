package seeder

import (
	"net/netip"
	"testing"
	"time"
)

// company is a download, and others of the same blob that it has called. Nobody has anything.
func company(t *testing.T, others int) (node, []node) {
	t.Helper()
	info, ref := testInfo(t, testBlob(4<<20))
	caller := fetch(t, 2, info, ref)
	var called []node
	for i := range others {
		called = append(called, fetch(t, byte(3+i), info, ref))
	}
	caller.AddPeers(addresses(called))
	connected(t, caller, others)
	return caller, called
}

func addresses(nodes []node) []netip.AddrPort {
	var list []netip.AddrPort
	for _, n := range nodes {
		list = append(list, n.Addr())
	}
	return list
}

// connected waits until a node has that many peers.
func connected(t *testing.T, n node, want int) {
	t.Helper()
	for end := time.Now().Add(patience); n.Progress().Peers != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d peers, want %d", n.Progress().Peers, want)
		}
	}
}

func TestPeersThatAreNamedNoMoreAreLetGo(t *testing.T) {
	caller, called := company(t, sufficient+3)
	caller.Keep(addresses(called[:sufficient]))
	connected(t, caller, sufficient)
	for _, n := range called[sufficient:] {
		connected(t, n, 0)
	}
}

func TestPeersAreKeptWhileFewAreNamed(t *testing.T) {
	caller, called := company(t, sufficient+1)
	caller.Keep(addresses(called[:sufficient-1]))
	caller.Keep(nil)
	if n := caller.Progress().Peers; n != sufficient+1 {
		t.Errorf("%d peers are left of %d", n, sufficient+1)
	}
}

func TestWhoCalledIsNotHungUpOn(t *testing.T) {
	called, others := company(t, sufficient)
	info, ref := testInfo(t, testBlob(4<<20))
	stranger := fetch(t, 60, info, ref)
	stranger.AddPeers([]netip.AddrPort{called.Addr()})
	connected(t, called, sufficient+1)
	called.Keep(addresses(others))
	if n := called.Progress().Peers; n != sufficient+1 {
		t.Errorf("%d peers are left of %d", n, sufficient+1)
	}
}

func TestCompletePeersAreKept(t *testing.T) {
	caller, called := company(t, sufficient)
	blob := testBlob(4 << 20)
	info, ref := testInfo(t, blob)
	whole := fetchWith(t, Config{Listen: netip.MustParseAddrPort("127.0.0.60:0"), UploadLimit: 1 << 10}, info, ref) // not to be the only one
	for piece := range whole.info.Pieces() {
		start, length := whole.info.Bounds(piece)
		if err := whole.Put(start, blob[start:start+length]); err != nil {
			t.Fatal(err)
		}
	}
	if err := whole.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	caller.AddPeers([]netip.AddrPort{whole.Addr()})
	connected(t, caller, sufficient+1)
	caller.Keep(addresses(called))
	if n := caller.Progress().Peers; n != sufficient+1 {
		t.Errorf("%d peers are left of %d", n, sufficient+1)
	}
}
