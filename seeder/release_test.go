package seeder

import (
	"fmt"
	"slices"
	"testing"
)

// Nodes that have everything leave each other alone, in whatever order they came to have it.
func TestCompletePeersLetGoOfEachOther(t *testing.T) {
	blob := testBlob(8 << 20)
	info, _ := testInfo(t, blob)
	origin := offering(t, 1, info, onDisk(t, blob), ServerConfig{})
	nodes := crowd(t, 2, 6, info, blob, origin.Addr())
	for _, n := range nodes {
		n.mustComplete(t, blob)
	}
	if _, ok := origin.Withdraw(InfoHash(info)); !ok { // which keeps a few of those who need nothing
		t.Fatal("the origin offers nothing")
	}
	connected := func() (list []int) {
		for _, n := range nodes {
			list = append(list, len(n.Download.torrent.PeerConns()))
		}
		return list
	}
	eventually(t, func() bool { return slices.Max(connected()) == 0 }, func() string {
		return fmt.Sprintf("complete nodes have connections: %v", connected())
	})
}
