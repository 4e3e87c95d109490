package origin

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSwarmWhateverHappens lets nodes of all characters come, go, freeze and come back while origins die and return, and
// demands of the origins all that world checks; and of the whole that those who are honest have everything in the end.
func TestSwarmWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.IntRange(1, 24).Draw(t, "pieces")
		length := int64(rapid.IntRange(1, 4).Draw(t, "blocks per piece")) << 14
		c := Config{Pieces: pieces, PieceLength: length, Size: int64(pieces)*length - rapid.Int64Range(0, length-1).Draw(t, "short"),
			Window: length * int64(rapid.IntRange(1, 4).Draw(t, "window")), Starvation: 10 * time.Second}
		w := newWorld(c, rapid.IntRange(1, 3).Draw(t, "origins"), rapid.Uint64().Draw(t, "seed"))
		w.rate = rapid.IntRange(1, 64).Draw(t, "rate")
		each := rapid.IntRange(0, 3).Draw(t, "exchanged")
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			w.happen(t)
			for range rapid.IntRange(0, 30).Draw(t, "steps") {
				w.pass(each)
			}
			if w.err != nil {
				t.Fatal(w.err)
			}
		}
		if w.settle(each, time.Duration(100+20*pieces)*c.Starvation); w.err != nil {
			t.Fatal(w.err)
		}
	})
}

// happen does one thing to the world.
func (w *world) happen(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "event") {
	case 0, 1, 2:
		w.add(honest)
	case 3:
		w.add(rapid.SampledFrom([]character{withholder, leech, pretender, braggart, hoarder}).Draw(t, "character"))
	case 4:
		w.add(honest).isolated = true
	case 5, 6, 7:
		w.disturb(t)
	case 8:
		w.dieOrReturn(rapid.SampledFrom(w.origins).Draw(t, "origin"))
	case 9:
		for range rapid.IntRange(2, 8).Draw(t, "at once") {
			w.add(honest)
		}
	}
}

// disturb has a node leave or come back, freeze or thaw.
func (w *world) disturb(t *rapid.T) {
	if len(w.nodes) == 0 {
		return
	}
	n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")]
	switch {
	case !n.here:
		w.arrive(n)
	case n.frozen:
		w.thaw(n)
	case rapid.Bool().Draw(t, "freeze"):
		n.frozen = true
	default:
		w.depart(n)
	}
}

// dieOrReturn kills an origin unless it is the last, or has a dead one begin anew.
func (w *world) dieOrReturn(s *server) {
	live := 0
	for _, o := range w.origins {
		live += count(o.live)
	}
	if s.live && live > 1 {
		w.kill(s)
		return
	}
	if s.live {
		return
	}
	s.o, _ = New(w.conf)
	s.twin, _ = New(w.conf)
	clear(s.progress)
	s.live = true
	w.share()
	for _, n := range w.nodes {
		if n.here {
			s.connect(n)
		}
	}
}

// TestAnyEventsInAnyOrder tells an origin what no sane caller would, and recounts its books after each event.
func TestAnyEventsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.IntRange(1, 70).Draw(t, "pieces")
		o, err := New(Config{Pieces: pieces, PieceLength: 64, Size: int64(pieces) * 64, Window: 256, Starvation: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		var c caller
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			c.now += time.Duration(rapid.IntRange(-100, 900).Draw(t, "ms")) * time.Millisecond
			c.tell(t, o)
			for _, a := range o.Do(nil) {
				if o.peers[a.Peer] == nil {
					t.Fatalf("%+v for a peer that is not there", a)
				}
			}
			if err := recount(o); err != nil {
				t.Fatal(err)
			}
		}
		for len(o.order) > 0 {
			o.Leave(c.now, o.order[0].id)
		}
		if err := recount(o); err != nil || len(o.lineup.byName) != 0 || o.held != 0 {
			t.Fatalf("with nobody there: %v, %d racks, %d pieces held", err, len(o.lineup.byName), o.held)
		}
	})
}

// A caller makes events up.
type caller struct {
	now time.Duration
}

func (c *caller) tell(t *rapid.T, o *Origin) {
	p := Peer(rapid.IntRange(0, 7).Draw(t, "peer"))
	i := rapid.IntRange(-1, o.conf.Pieces).Draw(t, "piece")
	b := Block{i, rapid.Int64Range(-1, 64).Draw(t, "begin"), rapid.Int64Range(-1, 65).Draw(t, "length")}
	switch rapid.IntRange(0, 16).Draw(t, "event") {
	case 0, 1, 2, 3:
		o.Join(c.now, p, rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "rack"))
	case 4:
		_ = o.Bitfield(c.now, p, rapid.SliceOfN(rapid.Byte(), (o.conf.Pieces+7)/8, (o.conf.Pieces+7)/8).Draw(t, "bits"))
	case 5, 6:
		_ = o.Have(c.now, p, i)
	case 7:
		o.HaveAll(c.now, p)
	case 8:
		o.HaveNone(c.now, p)
	case 9, 10:
		_ = o.Request(c.now, p, Block{i, 0, 64})
	case 11:
		_ = o.Request(c.now, p, b)
	case 12:
		o.Cancel(c.now, p, Block{i, 0, 64}, i%2 == 0)
	case 13:
		o.Sent(c.now, p, Block{i, 0, 64})
	case 14:
		o.Leave(c.now, p)
	case 15:
		o.Share(c.now, rapid.IntRange(-1, 3).Draw(t, "index"), rapid.IntRange(-1, 3).Draw(t, "of"))
	case 16:
		if o.Tick(c.now); rapid.IntRange(0, 9).Draw(t, "withdraw") == 0 {
			o.Withdraw(c.now, i)
		}
	}
}
