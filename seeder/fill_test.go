package seeder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestPutDeliversPiecesThatPeersThenGet(t *testing.T) {
	blob := testBlob(3<<20 + 17)
	info, ref := testInfo(t, blob)
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	n, late := fetch(t, 2, info, ref), fetch(t, 3, info, ref)
	feed(t, late.Download, n.Addr()) // connected before the first piece is there
	eventually(t, func() bool { return late.Progress().Peers == 1 }, func() string { return "no connection" })
	for len(n.Missing(1)) > 0 {
		r := n.Missing(1)[0]
		if err := n.Put(r.Off, blob[r.Off:r.Off+r.Len]); err != nil {
			t.Fatal(err)
		}
		if err := n.Put(r.Off, blob[r.Off:r.Off+r.Len]); err != nil {
			t.Errorf("putting a piece again: %v", err)
		}
	}
	n.mustHold(t, blob)
	p := n.Progress()
	if !p.Complete || p.FromControl != i.Size || p.FromOrigin+p.FromPeers != 0 || p.FirstPiece.IsZero() {
		t.Errorf("got %+v, want all bytes from Put", p)
	}
	late.mustHold(t, blob)
}

func TestPutRefusesWhatIsNoPiece(t *testing.T) {
	blob := testBlob(1<<20 + 17)
	info, ref := testInfo(t, blob)
	n := fetch(t, 2, info, ref)
	const length = 256 << 10
	wrong := bytes.Clone(blob[:length])
	wrong[7] ^= 1
	for name, c := range map[string]struct {
		off int64
		b   []byte
	}{
		"wrong bytes":       {0, wrong},
		"another's bytes":   {length, blob[:length]},
		"half a piece":      {0, blob[:length/2]},
		"two pieces":        {0, blob[:2*length]},
		"between pieces":    {5, blob[5 : length+5]},
		"before the first":  {-length, blob[:length]},
		"after the last":    {2 << 20, blob[:length]},
		"nothing":           {0, nil},
		"a long last piece": {1 << 20, blob[:length]},
	} {
		if err := n.Put(c.off, c.b); !errors.Is(err, ErrPiece) {
			t.Errorf("%s: got error %v, want ErrPiece", name, err)
		}
	}
	if p := n.Progress(); p.Have != 0 || p.FromControl != 0 {
		t.Errorf("got %+v after nothing but refusals", p)
	}
	if err := n.Client.Drop(n.Hash()); err != nil {
		t.Fatal(err)
	}
	if err := n.Put(0, blob[:length]); !errors.Is(err, ErrDropped) {
		t.Errorf("after Drop: got error %v, want ErrDropped", err)
	}
}

func TestPutSaysWhenTheFileIsFull(t *testing.T) {
	blob := testBlob(2 << 20)
	info, ref := testInfo(t, blob)
	full := &fullFile{File: tempFile(t)}
	full.room.Store(300 << 10)
	d, err := openClient(t, 2, nil).Fetch(info, ref, full)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(0, blob[:256<<10]); err != nil {
		t.Fatal(err)
	}
	r := d.Reader(t.Context())
	defer r.Close()
	err = d.Put(256<<10, blob[256<<10:512<<10])
	got, read := io.ReadAll(r)
	for call, err := range map[string]error{"Put": err, "Wait": d.Wait(t.Context()), "Read": read} {
		if err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("%s: got error %v, want the file's", call, err)
		}
	}
	if !bytes.Equal(got, blob[:256<<10]) {
		t.Errorf("read %d bytes, want the first piece", len(got))
	}
}

func TestPutAndPeersRace(t *testing.T) {
	blob := testBlob(12 << 20)
	info, ref := testInfo(t, blob)
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	good := holder(t, 3, info, blob)
	bad := openRogue(t, 69, info, blob)
	bad.serve(play{request: func(p *part, index, begin, length uint32) bool {
		b := p.block(index, begin, length)
		b[0] ^= byte(index % 2) // every second piece is bad: some are being hashed while they are put
		p.sayWith(b, 7, index, begin)
		return true
	}})
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, bad.addr(), good.Addr())
	fill(t, n, i, blob)
	n.mustHold(t, blob)
	// The library agrees: it seeds the whole.
	late := fetch(t, 4, info, fleet.Blob{Digest: i.Digest, Size: i.Size})
	feed(t, late.Download, n.Addr())
	late.mustHold(t, blob)
	eventually(t, func() bool { return n.Download.torrent.BytesMissing() == 0 }, func() string { return "the library lacks something" })
}

func TestMissingNamesFirstWhatNobodyIsAskedFor(t *testing.T) {
	blob := testBlob(4 << 20) // 16 pieces
	info, ref := testInfo(t, blob)
	mute := openRogue(t, 70, info, blob)
	const shown = 3
	mute.serve(play{greet: func(p *part) {
		p.say(15) // have none
		p.say(4, shown)
		p.say(1)
	}})
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, mute.addr())
	<-mute.asked
	var order []int64
	eventually(t, func() bool {
		order = order[:0]
		for _, r := range n.Missing(100) {
			order = append(order, r.Off/(256<<10))
		}
		return len(order) == 16 && order[15] == shown
	}, func() string { return fmt.Sprint(order) })
	if got := n.Missing(5); len(got) != 5 {
		t.Errorf("asked for 5, got %v", got)
	}
	if got := n.Missing(0); len(got) != 0 {
		t.Errorf("asked for none, got %v", got)
	}
}

func TestWaitAfterPutNeedsNoPeer(t *testing.T) {
	blob := testBlob(100)
	info, _ := testInfo(t, blob)
	n := holder(t, 2, info, blob)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Wait(ctx); err != nil {
		t.Error(err)
	}
}
