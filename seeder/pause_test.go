package seeder

import (
	"fmt"
	"testing"
)

func TestPausedClientSendsNothingAndFetches(t *testing.T) {
	blob := testBlob(6 << 20)
	info, ref := testInfo(t, blob)
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	// n has the first half and fetches the rest; late wants everything, and only n has anything.
	n, late := fetch(t, 2, info, ref), fetch(t, 3, info, ref)
	for p := range i.Pieces() / 2 {
		start, length := i.Bounds(p)
		if err := n.Put(start, blob[start:start+length]); err != nil {
			t.Fatal(err)
		}
	}
	n.SetUploadLimit(1) // so that requests wait when the pause begins
	feed(t, late.Download, n.Addr())
	eventually(t, func() bool { return n.Progress().Uploaded == maxRequest }, func() string { return fmt.Sprint(n.Progress()) })
	n.Pause(true)
	n.SetUploadLimit(0)
	eventually(t, func() bool { return late.choked() }, func() string { return "the peer is not told" })
	before := late.Progress()

	good := holder(t, 4, info, blob)
	feed(t, n.Download, good.Addr())
	n.mustHold(t, blob)
	if p := late.Progress(); p.FromPeers != before.FromPeers {
		t.Errorf("a paused client sent %d bytes", p.FromPeers-before.FromPeers)
	}
	feed(t, late.Download, n.Addr(), good.Addr())
	late.mustHold(t, blob) // from the other
	if faults := late.Faults(); len(faults) != 0 {
		t.Errorf("a paused client is blamed: %+v", faults)
	}

	// A torrent that is added while the client is paused is paused too.
	other := testBlob(2 << 20)
	otherInfo, otherRef := testInfo(t, other)
	fresh := fetchBy(t, n.Client, otherInfo, otherRef)
	oi, err := ParseInfo(otherInfo)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, fresh, oi, other)
	want := fetch(t, 5, otherInfo, otherRef)
	feed(t, want.Download, n.Addr())
	if p := fresh.Progress(); p.Uploaded != 0 {
		t.Errorf("a paused client sent %d bytes", p.Uploaded)
	}
	n.Pause(false)
	want.mustHold(t, other)
}

// choked reports whether there is a peer, and all have said that they answer nothing.
func (n node) choked() bool {
	n.Download.mu.Lock()
	defer n.Download.mu.Unlock()
	for _, c := range n.contacts {
		if !c.choked {
			return false
		}
	}
	return len(n.contacts) > 0
}
