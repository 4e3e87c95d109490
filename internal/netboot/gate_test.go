package netboot

import (
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
)

func TestGateKnowsACopyFromAnotherTry(t *testing.T) {
	first := imprint{xid: dhcpv4.TransactionID{1}, kind: dhcpv4.MessageTypeDiscover, secs: 4}
	change := func(f func(*imprint)) imprint { i := first; f(&i); return i }
	for name, c := range map[string]struct {
		second   imprint
		after    time.Duration
		answered bool
		want     admission
	}{
		"copy":                      {first, 10 * time.Millisecond, true, duplicate},
		"copy, not yet answered":    {first, 10 * time.Millisecond, false, admitted},
		"same again a second on":    {first, time.Second, true, admitted},
		"next try counts seconds":   {change(func(i *imprint) { i.secs = 8 }), 10 * time.Millisecond, true, admitted},
		"request after discover":    {change(func(i *imprint) { i.kind = dhcpv4.MessageTypeRequest }), time.Millisecond, true, admitted},
		"another transaction":       {change(func(i *imprint) { i.xid[0]++ }), time.Millisecond, true, admitted},
		"by another relay agent":    {change(func(i *imprint) { i.giaddr[3]++ }), time.Millisecond, true, admitted},
		"the same on port 4011":     {change(func(i *imprint) { i.proxy = true }), time.Millisecond, true, admitted},
		"with an address this time": {change(func(i *imprint) { i.ciaddr[3]++ }), time.Millisecond, true, admitted},
	} {
		t.Run(name, func(t *testing.T) {
			g, now := newGate(), time.Unix(1000, 0)
			if got := g.admit(nodeMAC, first, true, now); got != admitted {
				t.Fatalf("first request: %d", got)
			}
			if c.answered {
				g.answer(nodeMAC, first, now)
			}
			if got := g.admit(nodeMAC, c.second, true, now.Add(c.after)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestGateSlowsOneMachineDown(t *testing.T) {
	g, now := newGate(), time.Unix(1000, 0)
	passed := 0
	for range 100 {
		if g.admit(nodeMAC, imprint{}, true, now) == admitted {
			passed++
		}
	}
	if passed != gateBurst {
		t.Errorf("of 100 at once %d passed, want %d", passed, gateBurst)
	}
	if got := g.admit(bareMAC, imprint{}, true, now); got != admitted {
		t.Errorf("another machine: got %d", got)
	}
	if got := g.admit(nodeMAC, imprint{}, true, now.Add(time.Second)); got != admitted {
		t.Errorf("a second later: got %d", got)
	}
}

func TestFullGateLetsNodesPass(t *testing.T) {
	g, now := newGate(), time.Unix(1000, 0)
	for i := range gateSize {
		g.admit(fleet.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, imprint{}, false, now)
	}
	if got := g.admit(alienMAC, imprint{}, false, now); got != tooMany {
		t.Errorf("unknown machine: got %d", got)
	}
	if got := g.admit(nodeMAC, imprint{}, true, now); got != admitted {
		t.Errorf("node: got %d", got)
	}
	if got := g.admit(alienMAC, imprint{}, false, now.Add(time.Minute)); got != admitted || len(g.machines) > 1 {
		t.Errorf("after a minute: got %d with %d machines", got, len(g.machines))
	}
}

func TestHushSaysAThingOnceAMinute(t *testing.T) {
	var h hush
	now := time.Unix(1000, 0)
	for i, c := range []struct {
		message string
		after   time.Duration
		want    bool
	}{{"a", 0, true}, {"a", time.Second, false}, {"b", time.Second, true}, {"a", time.Minute, true}} {
		if got := h.says(c.message, now.Add(c.after)); got != c.want {
			t.Errorf("%d: %q after %s: got %v", i, c.message, c.after, got)
		}
	}
}
