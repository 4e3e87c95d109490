package origin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	kib = int64(1 << 10)
	mib = int64(1 << 20)
)

func open(t testing.TB, c Config) *Origin {
	t.Helper()
	o, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// even is a blob of equal pieces.
func even(pieces int, length int64) Config {
	return Config{Pieces: pieces, PieceLength: length, Size: int64(pieces) * length}
}

// join brings peers that have nothing.
func join(o *Origin, now time.Duration, peers ...Peer) {
	for _, p := range peers {
		o.Join(now, p, "")
		o.HaveNone(now, p)
	}
}

// revealed is what o shows next, as "peer:piece".
func revealed(o *Origin) string {
	var s []string
	for _, a := range o.Do(nil) {
		if a.Kind == Reveal {
			s = append(s, fmt.Sprintf("%d:%d", a.Peer, a.Block.Piece))
		}
	}
	return strings.Join(s, " ")
}

// kinds is what o wants done next, shortly.
func kinds(o *Origin) string {
	var s []string
	for _, a := range o.Do(nil) {
		s = append(s, fmt.Sprintf("%v %d:%d+%d", a.Kind, a.Peer, a.Block.Piece, a.Block.Begin))
	}
	return strings.Join(s, ", ")
}

// fetch has p ask for a piece, be sent it and say so.
func fetch(t testing.TB, o *Origin, now time.Duration, p Peer, piece int) {
	t.Helper()
	for at := int64(0); at < o.size(piece); at += 64 * kib {
		b := Block{piece, at, min(64*kib, o.size(piece)-at)}
		if err := o.Request(now, p, b); err != nil {
			t.Fatal(err)
		}
		o.Sent(now, p, b)
	}
	if err := o.Have(now, p, piece); err != nil {
		t.Fatal(err)
	}
}

// idle lets time pass without events, and returns what was revealed meanwhile.
func idle(o *Origin, from, to time.Duration) string {
	var s []string
	for {
		at, ok := o.Wake()
		if !ok || at > to {
			return strings.Join(s, " ")
		}
		from = max(from, at)
		o.Tick(from)
		if r := revealed(o); r != "" {
			s = append(s, r)
		}
	}
}

func TestStartIsDealtInTurns(t *testing.T) {
	o := open(t, even(4096, mib))
	rackOf := map[Peer]string{}
	for p := range Peer(64) {
		rackOf[p] = fmt.Sprint("rack", p/16)
		o.Join(0, p, rackOf[p])
		o.HaveNone(0, p)
	}
	seen := map[Peer]bool{}
	racks := map[string]int{}
	for i, a := range o.Do(nil) {
		if a.Kind != Reveal || a.Block.Piece != i || seen[a.Peer] {
			t.Fatalf("action %d is %+v; want piece %d shown to a peer that was shown nothing", i, a, i)
		}
		seen[a.Peer] = true
		racks[rackOf[a.Peer]]++
		if i%4 == 3 && (len(racks) != 4 || racks["rack0"] != i/4+1) {
			t.Fatalf("after %d pieces the racks were shown %v", i+1, racks)
		}
	}
	if len(seen) != 64 {
		t.Fatalf("%d of 64 peers were shown a piece", len(seen))
	}
	audit(t, o)
}

func TestWindowOpensWithTheFirstBlock(t *testing.T) {
	o := open(t, even(4096, 256*kib))
	join(o, 0, 1)
	if got := revealed(o); got != "1:0" {
		t.Fatalf("a newcomer is shown %q, want one piece", got)
	}
	b := Block{0, 0, 64 * kib}
	if err := o.Request(0, 1, b); err != nil {
		t.Fatal(err)
	}
	o.Sent(0, 1, b)
	if got, want := revealed(o), "1:1 1:2 1:3"; got != want {
		t.Fatalf("after its first block it is shown %q, want %q: 1 MiB in all", got, want)
	}
}

func TestNextPieceComesWhileOneIsVerified(t *testing.T) {
	c := even(64, 4*mib)
	c.Window = mib
	o := open(t, c)
	join(o, 0, 1)
	revealed(o)
	for at := int64(0); at < 4*mib; at += 64 * kib {
		b := Block{0, at, 64 * kib}
		if err := o.Request(0, 1, b); err != nil {
			t.Fatal(err)
		}
		o.Sent(0, 1, b)
	}
	if got := revealed(o); got != "1:1" {
		t.Fatalf("with one piece sent and not verified it is shown %q, want the next", got)
	}
	fetch(t, o, 0, 1, 1)
	if got := revealed(o); got != "1:2" {
		t.Fatalf("with a second one sent it is shown %q", got)
	}
}

func TestWindowIsTwoPiecesIfTheBlobAllowsIt(t *testing.T) {
	o := open(t, even(64, 4*mib))
	join(o, 0, 1)
	if o.window != 2 {
		t.Fatalf("a lone peer has a window of %d pieces of 4 MiB, want 2: it asks for one while it is sent the other", o.window)
	}
	join(o, 0, 2, 3, 4, 5)
	if o.window != 1 {
		t.Fatalf("5 peers have a window of %d pieces, want 1: no more than an eighth of the blob is on its way", o.window)
	}
}

func TestWindowShrinksWithTheBlob(t *testing.T) {
	o := open(t, even(64, 256*kib)) // 16 MiB: an eighth for 16 peers is one piece of half a piece's
	for p := range Peer(16) {
		join(o, 0, p)
	}
	o.Do(nil)
	if o.window != 1 {
		t.Fatalf("16 peers have a window of %d pieces, want 1", o.window)
	}
	for p := range Peer(14) {
		o.Leave(0, p)
	}
	if o.window != 4 {
		t.Fatalf("2 peers have a window of %d pieces, want 1 MiB", o.window)
	}
}

func TestLonePeerWaitsForNothing(t *testing.T) {
	o := open(t, even(16, 256*kib))
	join(o, 0, 1, 2)
	for i := range 16 {
		o.Do(nil)
		o.Request(0, 1, Block{i, 0, 1})
	}
	o.Leave(time.Second, 1)
	o.Leave(time.Second, 2)
	join(o, 2*time.Second, 3)
	for left := 16; left > 0; left-- {
		var piece int
		o.Do(nil)
		if len(o.peers[3].pending) == 0 {
			t.Fatalf("it waits, with %d pieces left", left)
		}
		piece = o.peers[3].pending[0].piece
		fetch(t, o, 2*time.Second, 3, piece)
	}
	if s := o.Stats(); !s.Done || s.Unsent != 0 || s.Raised != 0 {
		t.Fatalf("in the end %+v", s)
	}
}

func TestSilentOnceEverythingIsOut(t *testing.T) {
	o := open(t, even(4, 64*kib))
	join(o, 0, 1, 2, 3)
	o.Do(nil)
	now := time.Duration(0)
	for p, piece := range map[Peer]int{1: 0, 2: 1, 3: 2} {
		fetch(t, o, now, p, piece)
	}
	last := o.Do(nil)
	if len(last) != 1 || last[0].Kind != Reveal || last[0].Block.Piece != 3 {
		t.Fatalf("the last piece is not shown: %v", last)
	}
	fetch(t, o, now, last[len(last)-1].Peer, 3)
	join(o, now, 4)
	// Peers gain a piece every 9 seconds, in no order that matters: nobody starves.
	for i := range 4 {
		for p := range Peer(5) {
			if got := idle(o, now, now+time.Second); got != "" {
				t.Fatalf("shown once more: %s", got)
			}
			now += time.Second
			if err := o.Have(now, p, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := o.Stats(); s.Sent != 4*64*kib || !s.Done {
		t.Fatalf("in the end %+v", s)
	}
}

func TestPieceOnItsWayElsewhereIsDone(t *testing.T) {
	o := open(t, even(8, 64*kib))
	join(o, 0, 1)
	revealed(o)
	b := Block{0, 0, 64 * kib}
	if err := o.Request(0, 1, b); err != nil {
		t.Fatal(err)
	}
	o.Do(nil)
	if err := o.Have(0, 1, 0); err != nil {
		t.Fatal(err)
	}
	if got, want := kinds(o), "reveal 1:1+0"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	o.Cancel(0, 1, b, true)
	if got, want := kinds(o), "reject 1:0+0"; got != want {
		t.Fatalf("when it is cancelled: %q, want %q", got, want)
	}
	audit(t, o)
}

func TestSilentPeerIsTakenToHaveNothing(t *testing.T) {
	o := open(t, even(8, 64*kib))
	o.Join(0, 1, "")
	if got := revealed(o); got != "" {
		t.Fatalf("shown %q before it is known what it has", got)
	}
	if got := idle(o, 0, 400*time.Millisecond) + idle(o, 0, time.Second); got != "1:0" {
		t.Fatalf("shown %q within a second, want its first piece", got)
	}
}

func TestCompletePeersAreReleasedWhileOthersLackSomething(t *testing.T) {
	o := open(t, even(8, 64*kib))
	for p := range Peer(12) {
		o.Join(0, p, "")
		o.HaveAll(time.Duration(p)*time.Millisecond, p)
	}
	if _, ok := o.Wake(); ok {
		t.Fatal("it wants to be woken although everybody has everything")
	}
	join(o, time.Second, 99)
	o.Tick(4 * time.Second)
	if got := o.Do(nil); len(got) != 0 {
		t.Fatalf("after 4 seconds: %v", got)
	}
	o.Tick(6 * time.Second)
	var closed []Peer
	for _, a := range o.Do(nil) {
		if a.Kind != Close || a.Why == "" {
			t.Fatalf("wanted %+v", a)
		}
		closed = append(closed, a.Peer)
	}
	if want := []Peer{0, 1, 2, 3}; !slices.Equal(closed, want) {
		t.Fatalf("released %v, want %v: the first, and %d stay", closed, want, witnesses)
	}
	for _, p := range closed {
		o.Leave(6*time.Second, p)
	}
	audit(t, o)
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"no pieces":       {Pieces: 0, PieceLength: 1, Size: 1},
		"too many":        {Pieces: MaxPieces + 1, PieceLength: 1, Size: MaxPieces + 1},
		"no length":       {Pieces: 1, Size: 1},
		"no size":         {Pieces: 1, PieceLength: 1},
		"too short":       {Pieces: 2, PieceLength: 10, Size: 10},
		"too long":        {Pieces: 2, PieceLength: 10, Size: 21},
		"negative window": {Pieces: 2, PieceLength: 10, Size: 20, Window: -1},
		"negative time":   {Pieces: 2, PieceLength: 10, Size: 20, Starvation: -1},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
