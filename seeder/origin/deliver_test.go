package origin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// askFor has a peer ask for a whole piece, in blocks of 64 KiB.
func askFor(t testing.TB, o *Origin, now time.Duration, p Peer, piece int) []Block {
	t.Helper()
	var blocks []Block
	for at := int64(0); at < o.size(piece); at += 64 * kib {
		b := Block{piece, at, min(64*kib, o.size(piece)-at)}
		if err := o.Request(now, p, b); err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// handedOut is to whom blocks are sent next, each peer once.
func handedOut(o *Origin) []Peer {
	var to []Peer
	for _, a := range o.Do(nil) {
		if a.Kind == Send && !slices.Contains(to, a.Peer) {
			to = append(to, a.Peer)
		}
	}
	return to
}

// crowd has peers from 1 on come, each of which asks for the piece that it is shown. It returns what each asked for.
func crowd(t testing.TB, o *Origin, peers int) map[Peer][]Block {
	t.Helper()
	for p := range peers {
		join(o, 0, Peer(p+1))
	}
	asked := map[Peer][]Block{}
	for _, a := range o.Do(nil) {
		asked[a.Peer] = askFor(t, o, 0, a.Peer, a.Block.Piece)
	}
	if len(asked) != peers {
		t.Fatalf("%d of %d peers were shown a piece", len(asked), peers)
	}
	return asked
}

func TestPiecesLeaveAFewAtATime(t *testing.T) {
	o := open(t, even(1000, 128*kib))
	asked := crowd(t, o, 40)
	first := handedOut(o)
	if len(first) != deliveredAtOnce {
		t.Fatalf("pieces for %d peers leave at once", len(first))
	}
	half, rest := asked[first[0]][0], asked[first[0]][1]
	o.Sent(time.Millisecond, first[0], half)
	if next := handedOut(o); next != nil {
		t.Fatalf("%v come before a piece has left", next)
	}
	o.Sent(2*time.Millisecond, first[0], rest)
	if next := handedOut(o); len(next) != 1 || slices.Contains(first, next[0]) {
		t.Fatalf("after a piece has left come %v", next)
	}
	o.Leave(3*time.Millisecond, first[1])
	if next := handedOut(o); len(next) != 1 || slices.Contains(first, next[0]) {
		t.Fatalf("after a peer has left come %v", next)
	}
	audit(t, o)
}

func TestSlowDeliveriesGiveWay(t *testing.T) {
	o := open(t, even(1000, 128*kib))
	asked := crowd(t, o, 120)
	first := handedOut(o)
	slow, quick := first[1:], first[0]
	for left := 1; left <= patienceFactor*deliveredAtOnce; left++ { // pieces, one after another beside those that are slow
		for _, b := range asked[quick] {
			o.Sent(0, quick, b)
		}
		next := handedOut(o)
		want := 1
		if left == patienceFactor*deliveredAtOnce {
			want += len(slow)
		}
		if len(next) != want {
			t.Fatalf("after %d pieces have left come %v, want %d", left, next, want)
		}
		quick = next[0]
	}
	audit(t, o)
}

func TestFrozenPeersDoNotKeepOthersWaiting(t *testing.T) {
	o := open(t, even(1000, 128*kib))
	crowd(t, o, 40)
	handedOut(o)
	served := 0
	for at, ok := o.Wake(); ok && at <= 12*time.Second; at, ok = o.Wake() {
		o.Tick(at)
		served += len(handedOut(o))
	}
	if served != 40-deliveredAtOnce {
		t.Fatalf("%d of %d are served though the first take nothing", served, 40-deliveredAtOnce)
	}
}

// hesitant has 40 peers come, the first of which asks for half of its piece and is sent it, while the others ask for all of
// theirs. It returns the first, the half of its piece that is left, and all who are being sent something, it among them.
func hesitant(t *testing.T, o *Origin) (one Peer, rest Block, delivered []Peer) {
	t.Helper()
	for p := range 40 {
		join(o, 0, Peer(p+1))
	}
	shown := o.Do(nil)
	one, piece := shown[0].Peer, shown[0].Block.Piece
	half, rest := Block{piece, 0, 64 * kib}, Block{piece, 64 * kib, 64 * kib}
	if err := o.Request(0, one, half); err != nil {
		t.Fatal(err)
	}
	for _, a := range shown[1:] {
		askFor(t, o, 0, a.Peer, a.Block.Piece)
	}
	delivered = handedOut(o)
	o.Sent(time.Millisecond, one, half)
	return one, rest, delivered
}

func TestADeliveryLastsUntilThePieceHasLeft(t *testing.T) {
	o := open(t, even(1000, 128*kib))
	one, rest, _ := hesitant(t, o)
	if next := handedOut(o); next != nil {
		t.Fatalf("%v come while a peer has half a piece", next)
	}
	if err := o.Request(2*time.Millisecond, one, rest); err != nil {
		t.Fatal(err)
	}
	if next := handedOut(o); !slices.Equal(next, []Peer{one}) {
		t.Fatalf("for the other half come %v", next)
	}
	o.Sent(3*time.Millisecond, one, rest)
	if next := handedOut(o); len(next) != 1 || next[0] == one {
		t.Fatalf("after a piece has left come %v", next)
	}
	audit(t, o)
}

func TestADeliveryEndsWithAPieceFromElsewhere(t *testing.T) {
	o := open(t, even(1000, 128*kib))
	one, rest, _ := hesitant(t, o)
	if err := o.Have(2*time.Millisecond, one, rest.Piece); err != nil {
		t.Fatal(err)
	}
	if next := handedOut(o); len(next) != 1 || next[0] == one {
		t.Fatalf("after a peer has its piece come %v", next)
	}
	audit(t, o)
}

func TestWhoAsksForAnotherPieceFirstGivesWay(t *testing.T) {
	o := open(t, even(1000, 128*kib))
	one, rest, delivered := hesitant(t, o)
	handedOut(o)
	another := -1
	for _, v := range o.peers[one].pending { // it was shown a second piece when it had been sent a block
		if v.piece != rest.Piece {
			another = v.piece
		}
	}
	askFor(t, o, 2*time.Millisecond, one, another)
	if next := handedOut(o); len(next) != 1 || slices.Contains(delivered, next[0]) {
		t.Fatalf("in the place of a peer that asks for something else come %v", next)
	}
	audit(t, o)
}

func TestBlockThatWaitsIsCancelled(t *testing.T) {
	o := open(t, even(1000, 128*kib))
	asked := crowd(t, o, deliveredAtOnce+1)
	first := handedOut(o)
	var last Peer
	for p := range asked {
		if !slices.Contains(first, p) {
			last = p
		}
	}
	for _, b := range asked[last] {
		o.Cancel(0, last, b, false) // no caller has seen it
	}
	o.Cancel(0, first[0], asked[first[0]][0], false) // it is being written
	var want []string
	for _, b := range asked[last] {
		want = append(want, fmt.Sprintf("reject %d:%d+%d", last, b.Piece, b.Begin))
	}
	if got := kinds(o); got != strings.Join(want, ", ") {
		t.Fatalf("got %q, want %q", got, want)
	}
	audit(t, o)
}

func TestPieceThatIsHeardOfBeforeItHasLeftCounts(t *testing.T) {
	o := open(t, even(8, 64*kib))
	asked := crowd(t, o, 1)
	handedOut(o)
	has(t, o, 0, 1, 0)
	o.Sent(0, 1, asked[1][0])
	if s := o.Stats(); s.Unsent != 7 {
		t.Fatalf("%+v", s)
	}
}
