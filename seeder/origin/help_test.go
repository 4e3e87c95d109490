package origin

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"
)

const second = time.Second

// ask has p ask for the only block of a piece.
func ask(t testing.TB, o *Origin, now time.Duration, p Peer, piece int) {
	t.Helper()
	if err := o.Request(now, p, Block{piece, 0, o.size(piece)}); err != nil {
		t.Fatal(err)
	}
}

// has has p say that it has pieces.
func has(t testing.TB, o *Origin, now time.Duration, p Peer, pieces ...int) {
	t.Helper()
	for _, i := range pieces {
		if err := o.Have(now, p, i); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWasLetGoOfIsNotShownToTheNextWhoLetsGo(t *testing.T) {
	o := open(t, even(3, 64*kib))
	join(o, 0, 1, 2, 3)
	if got := revealed(o); got != "1:0 2:1 3:2" {
		t.Fatal(got)
	}
	ask(t, o, 0, 3, 2) // and waits for it, in the origin's queue
	o.Do(nil)
	if got := idle(o, 0, 11*second); got != "" || o.struck != 2 {
		t.Fatalf("shown %q, %d struck; want nothing and 2", got, o.struck)
	}
	o.HaveNone(12*second, 1)
	o.HaveNone(12*second, 2)
	if got := revealed(o) + idle(o, 12*second, 20*second); got != "" {
		t.Fatalf("shown %q to peers that are alive but let go of it", got)
	}
	o.Sent(20*second, 3, Block{2, 0, 64 * kib})
	if got := revealed(o); got != "3:0" {
		t.Fatalf("shown %q, want it to go to the third", got)
	}
	o.Leave(21*second, 3)
	if got := revealed(o) + idle(o, 21*second, 22*second); got != "1:0 2:1" && got != "2:0 1:1" {
		t.Fatalf("shown %q, want those who let go to have another chance, as nobody else is there", got)
	}
	audit(t, o)
}

func TestMutePeerIsLeftAlone(t *testing.T) {
	for name, given := range map[string]struct {
		speaks bool
		until  time.Duration
		shown  bool
	}{
		"while it is silent":      {false, 40 * second, false},
		"once it speaks":          {true, 12 * second, true},
		"when it was silent long": {false, 51 * second, true},
	} {
		o := open(t, even(3, 64*kib))
		join(o, 0, 1, 2)
		o.Do(nil)
		ask(t, o, 0, 2, 1)
		idle(o, 0, second)
		o.Share(second, 1, 2) // the rest is another's
		if got := idle(o, second, 11*second); got != "" || o.struck != 1 {
			t.Fatalf("%s: shown %q, %d struck", name, got, o.struck)
		}
		o.letGo.set(0)
		o.Share(11*second, 0, 1)
		o.letGo.set(0)
		if given.speaks {
			o.HaveNone(11*second+1, 1)
		}
		now := 11 * second
		var got string
		for ; now < given.until && got == ""; now += 5 * second { // the other is sent some of its piece now and then
			got = revealed(o) + idle(o, now, now+4*second)
			o.peers[2].find(1).last = now
		}
		if shown := strings.HasPrefix(got, "1:"); shown != given.shown {
			t.Errorf("%s: shown %q", name, got)
		}
	}
}

func TestFetchingInTimeIsForgiven(t *testing.T) {
	o := open(t, even(4, 64*kib))
	join(o, 0, 1)
	o.Do(nil)
	if got := idle(o, 0, 11*second); got != "1:0" || o.struck != 1 {
		t.Fatalf("shown %q, %d struck; want it shown again to the only peer, which is struck", got, o.struck)
	}
	fetch(t, o, 12*second, 1, 0)
	if o.struck != 0 {
		t.Fatal("it is still struck")
	}
	audit(t, o)
}

func TestPeerThatTakesNothingLosesThePieceInTheEnd(t *testing.T) {
	o := open(t, even(1, 64*kib))
	join(o, 0, 1)
	o.Do(nil)
	ask(t, o, 0, 1, 0)
	o.Do(nil)
	join(o, second, 2)
	if got := revealed(o) + idle(o, second, 39*second); got != "" {
		t.Fatalf("shown %q while the origin may itself be the slow one", got)
	}
	if got := idle(o, 39*second, 41*second); got != "2:0" {
		t.Fatalf("shown %q after four waits", got)
	}
}

func TestMuchSlowerPeerIsNotWaitedFor(t *testing.T) {
	o := open(t, even(8, 128*kib))
	join(o, 0, 1, 2)
	o.Do(nil)
	for at := int64(0); at < 128*kib; at += 64 * kib {
		if err := o.Request(0, 1, Block{0, at, 64 * kib}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 7 {
		o.Do(nil)
		fetch(t, o, second, 2, i+1)
	}
	o.Sent(9*second, 1, Block{0, 0, 64 * kib})
	if got := idle(o, second, 9*second); got != "" {
		t.Fatalf("too early: %q", got)
	}
	if got := idle(o, 9*second, 11*second); got != "2:0" {
		t.Fatalf("shown %q, want the piece that takes one peer ten times as long to go to the other, too", got)
	}
	o.Sent(12*second, 1, Block{0, 64 * kib, 64 * kib})
	if got := o.Stats(); got.Sent != 8*128*kib || got.Unsent != 0 {
		t.Fatalf("the slow one was not sent the rest: %+v", got)
	}
	audit(t, o)
}

func TestSlowTailIsNotWaitedForForever(t *testing.T) {
	o := open(t, even(2, mib))
	join(o, 0, 1, 2)
	o.Do(nil)
	fetch(t, o, second, 2, 1)
	var got string
	now := second
	for at := int64(0); at < mib && got == ""; at += 16 * kib {
		b := Block{0, at, 16 * kib}
		if err := o.Request(now, 1, b); err != nil {
			t.Fatal(err)
		}
		now += second
		o.Sent(now, 1, b)
		got = revealed(o) + idle(o, now-second, now)
	}
	if got != "2:0" || now > 45*second {
		t.Fatalf("shown %q after %v, want the last piece while somebody starves for it", got, now)
	}
}

func TestOriginThatSlowsDownBlamesNobody(t *testing.T) {
	for name, fair := range map[string]bool{"a block for each in turn": true, "first come, first served": false} {
		o := open(t, even(256, mib))
		join(o, 0, 0)
		o.Do(nil)
		fetch(t, o, second, 0, 0)
		o.Do(nil)
		o.Leave(second, 0)
		for range durationsKept {
			o.finishes.add(second / 10) // till now
		}
		var peers []Peer
		for p := range Peer(32) {
			peers = append(peers, p+1)
		}
		join(o, second, peers...)
		var queue []Action
		for _, a := range o.Do(nil) {
			for at := int64(0); at < mib; at += 64 * kib {
				a.Block.Begin, a.Block.Length = at, 64*kib
				queue = append(queue, a)
				if err := o.Request(second, a.Peer, a.Block); err != nil {
					t.Fatal(err)
				}
			}
		}
		o.Do(nil)
		if fair {
			slices.SortStableFunc(queue, func(a, b Action) int { return cmp.Compare(a.Block.Begin, b.Block.Begin) })
		}
		now := second
		for k, a := range queue { // a MiB per second: 32 seconds
			if now = second + time.Duration(k)*second/16; k%8 == 0 {
				o.Tick(now)
			}
			o.Sent(now, a.Peer, a.Block)
			if a.Block.Begin == mib-64*kib {
				has(t, o, now, a.Peer, a.Block.Piece)
			}
		}
		if s := o.Stats(); s.Suspects != 0 || s.Raised != 0 {
			t.Errorf("%s: %d peers are blamed, %d pieces raised", name, s.Suspects, s.Raised)
		}
	}
}

// left is an origin after 11 seconds in which all of 16 pieces but the last have spread among three peers; that one stays
// with the first peer. The others gain a piece every 2 seconds.
func left(t *testing.T, index, of int) (o *Origin, shown string) {
	o = open(t, even(16, 64*kib))
	join(o, 0, 1, 2, 3)
	o.Share(0, 15%max(1, of), of)
	for i := range 16 {
		o.pieces[i].shown = 0
		has(t, o, 0, 1, 15-i)
	}
	o.latest = 0
	o.Share(0, index, of)
	for i := range 13 {
		has(t, o, 0, 2, i)
		has(t, o, 0, 3, i)
	}
	o.Do(nil)
	now := time.Duration(0)
	for i := range 2 {
		now += 6 * second
		shown += idle(o, now-6*second, now)
		has(t, o, now, 2, 13+i)
		has(t, o, now, 3, 13+i)
	}
	return o, shown
}

func TestPieceThatStaysWithOnePeerIsShownAgain(t *testing.T) {
	if o, got := left(t, 0, 1); got != "2:14 3:15" && got != "3:14 2:15" {
		t.Fatalf("shown %q, want the pieces that one peer kept for ten seconds; raised %d", got, o.Stats().Raised)
	}
	if _, got := left(t, 0, 3); got != "2:15" && got != "3:15" {
		t.Fatalf("shown %q, want those of its share only", got)
	}
}

func TestNewcomerPutsHelpOff(t *testing.T) {
	for name, given := range map[string]func(o *Origin){
		"a newcomer":       func(o *Origin) { o.Join(9*second, 9, "") },
		"another division": func(o *Origin) { o.Share(9*second, 1, 2) },
	} {
		o := open(t, even(4, 64*kib))
		o.Join(0, 1, "")
		o.HaveAll(0, 1) // a lie
		join(o, 0, 2)
		o.Do(nil)
		if got := idle(o, 0, 8*second); got != "" {
			t.Fatalf("%s: %q", name, got)
		}
		given(o)
		if got := revealed(o) + idle(o, 9*second, 18*second); got != "" {
			t.Errorf("%s: shown %q, want it to wait anew", name, got)
		}
		if got := idle(o, 18*second, 21*second); got == "" {
			t.Errorf("%s: nothing shown after the wait", name)
		}
	}
}

func TestNewcomersPutHelpOffForFourWaitsAtMost(t *testing.T) {
	o := open(t, even(4, 64*kib))
	o.Join(0, 1, "")
	o.HaveAll(0, 1) // a lie
	join(o, 0, 2)
	o.Do(nil)
	for now := second; now <= 40*second; now += second {
		if now == 29*second {
			has(t, o, now, 2, 3) // from another: it is not cut off
		}
		o.Join(now, Peer(now), "")
		o.Tick(now)
		switch got := revealed(o); {
		case got != "" && now < 39*second:
			t.Fatalf("at %v shown %q", now, got)
		case got != "":
			return
		}
	}
	t.Fatal("nothing shown after four waits")
}

func TestPeerThatWaitsForTheOriginDoesNotStarve(t *testing.T) {
	o := open(t, even(64, 64*kib))
	o.Share(0, 0, 32)
	join(o, 0, 1)
	o.Do(nil)
	fetch(t, o, 0, 1, 0)
	if got := revealed(o); got != "1:32" {
		t.Fatal(got)
	}
	ask(t, o, 0, 1, 32)
	o.Do(nil)
	if got := idle(o, 0, 35*second); got != "" {
		t.Fatalf("shown %q of others' shares, while the origin has not sent what it was asked for", got)
	}
}

func TestHelpEndsWithTheNeed(t *testing.T) {
	o := open(t, even(64, 64*kib))
	o.Join(0, 1, "")
	o.HaveAll(0, 1) // a lie
	join(o, 0, 2)
	idle(o, 0, 11*second)
	if o.relief.n == 0 || o.hungry != 1 {
		t.Fatalf("%d pieces for %d that starve", o.relief.n, o.hungry)
	}
	o.Leave(12*second, 2)
	join(o, 12*second, 3)
	if got := revealed(o); got != "" || o.relief.n != 0 {
		t.Fatalf("shown %q to a newcomer, %d pieces left for nobody", got, o.relief.n)
	}
}

func TestTimeOfPiecesShownTwiceSaysNothing(t *testing.T) {
	o := open(t, even(1, 64*kib))
	join(o, 0, 1, 2)
	o.Do(nil)
	fetch(t, o, 0, 1, 0)
	if got := idle(o, 0, 11*second); got != "2:0" {
		t.Fatal(got)
	}
	fetch(t, o, 11*second, 2, 0)
	if n := len(o.spreads.ring); n != 0 {
		t.Fatalf("%d samples of a piece that did not spread by itself", n)
	}
}

func TestWhoHasLessOutstandingComesFirst(t *testing.T) {
	o := open(t, even(16, 64*kib))
	for p, r := range []string{"a", "a", "b", "b"} {
		o.Join(0, Peer(p), r)
	}
	o.Share(0, 3, 16)
	for _, p := range []Peer{0, 2} { // opens their windows
		o.Sent(0, p, Block{0, 0, 1})
	}
	o.HaveNone(0, 0)
	if got := revealed(o); got != "0:3" {
		t.Fatal(got)
	}
	for p := range Peer(4) {
		o.HaveNone(0, p)
	}
	o.window = 4
	o.peers[2].rack.served = 100 // last, but with nothing outstanding
	for p := range Peer(4) {
		o.refresh(o.peers[p])
	}
	o.Share(0, 4, 16)
	if got := revealed(o); got != "2:4" {
		t.Fatalf("shown %q, want the rack with nothing outstanding first", got)
	}
	o.peers[3].served = 200
	o.lineup.put(o.peers[3], true)
	o.forget(o.peers[0], 3)
	o.peers[0].rack.outstanding = 9
	o.lineup.fix(o.peers[0].rack)
	o.Share(0, 5, 16)
	if got := revealed(o); got != "3:5" {
		t.Fatalf("shown %q, want the peer with nothing outstanding first", got)
	}
}
