package origin

import (
	"testing"
	"time"
)

// starvation is what worlds use.
const starvation = 10 * time.Second

// swarm is a world of honest nodes around some origins.
func swarm(pieces, nodes, origins int) *world {
	c := even(pieces, 64*kib)
	c.Starvation, c.Window = starvation, 128*kib
	w := newWorld(c, origins, 1)
	w.rate = 16
	for range nodes {
		w.add(honest)
	}
	return w
}

// ended fails unless the swarm settles within limit, and returns how often the blob was sent.
func (w *world) ended(t *testing.T, limit time.Duration) float64 {
	t.Helper()
	if w.settle(3, limit); w.err != nil {
		t.Fatal(w.err)
	}
	return float64(w.sent()) / float64(w.conf.Size)
}

func TestEachPieceIsSentOnce(t *testing.T) {
	w := swarm(256, 16, 1)
	if x := w.ended(t, 5*time.Minute); x != 1 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
	for range 3 {
		w.add(honest)
	}
	if x := w.ended(t, 5*time.Minute); x != 1 {
		t.Fatalf("after newcomers the blob was sent %.3f times", x)
	}
}

func TestSlowOriginSendsOnce(t *testing.T) {
	w := swarm(64, 16, 1)
	w.step = 5 * time.Second // 16 blocks in 5 seconds: each has its first piece after 20
	w.rate = 16
	if x := w.ended(t, time.Hour); x > 1.1 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
}

func TestLyingHaveCostsOneWait(t *testing.T) {
	w := swarm(128, 0, 1)
	w.add(braggart)
	for range 8 {
		w.add(honest)
	}
	if x := w.ended(t, 4*starvation); x != 1 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
}

func TestPretenderCostsOneWait(t *testing.T) {
	w := swarm(128, 8, 1)
	w.add(pretender)
	w.add(honest)
	if x := w.ended(t, time.Minute+4*starvation); x > 1.05 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
}

func TestWithholderIsNotShownMoreForALongTime(t *testing.T) {
	w := swarm(128, 8, 1)
	w.add(withholder)
	if x := w.ended(t, time.Minute+4*starvation); x != 1 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
	shown := 0
	for _, l := range w.origins[0].order {
		if l.n.character == withholder {
			shown = len(l.shown)
		}
	}
	if shown > 3 {
		t.Fatalf("it was shown %d pieces", shown)
	}
}

func TestFrozenPeersDelayByOneWait(t *testing.T) {
	w := swarm(256, 16, 1)
	for range 10 {
		w.pass(3)
	}
	w.nodes[3].frozen, w.nodes[7].frozen = true, true
	if x := w.ended(t, time.Minute+4*starvation); x > 1.08 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
	w.thaw(w.nodes[3])
	if x := w.ended(t, time.Minute+4*starvation); x > 1.08 {
		t.Fatalf("after a thaw the blob was sent %.3f times", x)
	}
}

func TestDeadPeersCostTheirWindows(t *testing.T) {
	w := swarm(256, 16, 1)
	for range 10 {
		w.pass(3)
	}
	for _, n := range w.nodes[:4] {
		w.depart(n)
	}
	if x := w.ended(t, time.Minute+4*starvation); x > 1.2 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
}

func TestOriginsShare(t *testing.T) {
	w := swarm(256, 16, 3)
	if x := w.ended(t, 5*time.Minute); x > 1.02 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
	for k, s := range w.origins {
		if got := s.o.Stats().Sent; got < w.conf.Size/3-64*kib || got > w.conf.Size/3*21/20 {
			t.Errorf("origin %d sent %d bytes of %d, want a third", k, got, w.conf.Size)
		}
	}
}

func TestOriginTakesOverFromADeadOne(t *testing.T) {
	w := swarm(256, 16, 2)
	for range 10 {
		w.pass(3)
	}
	w.kill(w.origins[0])
	if x := w.ended(t, 2*time.Minute); x > 1.1 {
		t.Fatalf("the blob was sent %.3f times", x)
	}
}

func TestShareOfAnotherWaits(t *testing.T) {
	o := open(t, even(4, 64*kib))
	o.Share(0, 1, 2)
	join(o, 0, 1)
	if got := revealed(o); got != "1:1" {
		t.Fatalf("first %q, want its own lowest", got)
	}
	fetch(t, o, 0, 1, 1)
	if got := revealed(o); got != "1:3" {
		t.Fatalf("then %q", got)
	}
	fetch(t, o, 0, 1, 3)
	if got := revealed(o) + idle(o, 0, starvation-time.Second); got != "" {
		t.Fatalf("%q of another's share is shown at once", got)
	}
	if got := idle(o, 0, starvation+time.Second); got != "1:0" {
		t.Fatalf("after the wait %q, want the lowest of the other's", got)
	}
	fetch(t, o, 11*time.Second, 1, 0)
	if got := revealed(o); got != "1:2" {
		t.Fatalf("then %q at once, as it waited as long", got)
	}
}

func TestReturnOfTheOwnerEndsIt(t *testing.T) {
	o := open(t, even(4, 64*kib))
	o.Share(0, 0, 2)
	join(o, 0, 1)
	fetch(t, o, 0, 1, 0)
	fetch(t, o, 0, 1, 2)
	o.Do(nil)
	o.Share(time.Second, 0, 1)
	if got := revealed(o); got != "1:1" {
		t.Fatalf("alone it shows %q", got)
	}
	o.Share(time.Second, 0, 2)
	fetch(t, o, time.Second, 1, 1)
	if got := revealed(o); got != "" {
		t.Fatalf("with the owner back it shows %q", got)
	}
	o.Share(time.Second, 7, 2)
	if o.fresh.n != 0 {
		t.Fatal("without a place among them it still has a share")
	}
	audit(t, o)
}

func TestNewcomersDoNotPutOffHelpForever(t *testing.T) {
	o := open(t, even(4, 64*kib))
	o.Join(0, 1, "")
	o.HaveAll(0, 1) // a lie
	join(o, 0, 2)
	for now, p := time.Second, Peer(3); ; now, p = now+time.Second, p+1 {
		o.Join(now, p, "")
		o.Leave(now, p-1+Peer(count(p == 3)))
		o.Tick(now)
		if got := revealed(o); got != "" {
			if now < starvation {
				t.Fatalf("%q is shown after %v", got, now)
			}
			return
		}
		if now > 5*starvation {
			t.Fatalf("nothing is shown within %v while others come and go", now)
		}
	}
}

func TestSlowPeerThatProgressesIsNotFedTwice(t *testing.T) {
	o := open(t, even(64, 64*kib))
	o.Join(0, 1, "")
	o.HaveAll(0, 1)
	join(o, 0, 2, 3)
	for i := range 64 { // a piece every 8 seconds from the first, for nine minutes
		now := time.Duration(i) * 8 * time.Second
		if got := revealed(o) + idle(o, now-8*time.Second, now); got != "" {
			t.Fatalf("at %v it is shown %q", now, got)
		}
		for p := range Peer(2) {
			if err := o.Have(now, 2+p, i); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCutOffPeersAreFedInTheEnd(t *testing.T) {
	w := swarm(64, 4, 1)
	w.ended(t, time.Minute)
	for range 6 {
		w.add(honest).isolated = true
	}
	w.ended(t, 8*starvation)
}

func TestMediansFollowTheSwarm(t *testing.T) {
	o := open(t, even(256, 64*kib))
	if got := o.patience(); got != starvation {
		t.Fatalf("at first %v", got)
	}
	for range durationsKept {
		o.spreads.add(5 * time.Second)
	}
	if got := o.patience(); got != 20*time.Second {
		t.Fatalf("with pieces that take 5 s to spread %v, want four times as long", got)
	}
	for range durationsKept {
		o.spreads.add(time.Hour)
	}
	if got := o.patience(); got != longestPatience {
		t.Fatalf("with pieces that take an hour to spread %v", got)
	}
	for range durationsKept * 2 {
		o.spreads.add(time.Second)
	}
	if got := o.patience(); got != starvation || len(o.spreads.ring) != durationsKept {
		t.Fatalf("with pieces that take a second again %v, of %d samples", got, len(o.spreads.ring))
	}
}
