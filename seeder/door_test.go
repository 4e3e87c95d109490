package seeder

import (
	"net/netip"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// address returns the n-th of many addresses.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func testDoor(allow func(netip.Addr) bool) (*door, map[fleet.PeerFault]int) {
	counts := map[fleet.PeerFault]int{}
	return newDoor(allow, func(_ netip.Addr, f fleet.PeerFault) { counts[f]++ }), counts
}

func TestStrangersAreNotAnswered(t *testing.T) {
	d, counts := testDoor(func(a netip.Addr) bool { return a == address(1) })
	now := time.Now()
	if d.knock(address(2), now) != nil || counts[fleet.FaultStranger] != 1 || len(d.open) != 0 {
		t.Errorf("a stranger was let in, or remembered: faults %v, %d callers", counts, len(d.open))
	}
	if d.knock(address(1), now) == nil {
		t.Error("a member was not let in")
	}
}

func TestHalfOpenCallsAreBounded(t *testing.T) {
	d, counts := testDoor(nil)
	now := time.Now()
	var first *pass
	for range maxHalfOpenOfOne {
		first = d.knock(address(0), now)
	}
	if first == nil || d.knock(address(0), now) != nil {
		t.Error("the calls of one address that have not begun are not bounded as they should be")
	}
	for n := 1; d.half < maxHalfOpen; n++ {
		if d.knock(address(n), now) == nil {
			t.Fatalf("address %d was not let in, with %d calls that have not begun", n, d.half)
		}
	}
	if d.knock(address(1<<16), now) != nil {
		t.Error("the calls that have not begun are not bounded")
	}
	first.leave()
	if d.knock(address(1<<16), now) == nil {
		t.Error("a call that ended has left no room")
	}
	if len(counts) != 0 {
		t.Errorf("faults: %v, want none", counts)
	}
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	d, _ := testDoor(nil)
	now := time.Now()
	var last *pass
	for n := range maxLinksOfOne {
		now = now.Add(time.Second)
		last = d.knock(address(0), now)
		if last == nil || !last.enter() {
			t.Fatalf("connection %d was not let in", n)
		}
	}
	more := d.knock(address(0), now)
	if more == nil || more.enter() {
		t.Error("the connections of one address are not bounded")
	}
	last.leave()
	if !more.enter() {
		t.Error("a connection that ended has left no room")
	}
	more.leave()
	if d.links != maxLinksOfOne-1 || d.half != 0 {
		t.Errorf("%d connections and %d calls are left", d.links, d.half)
	}
}

func TestAFloodIsNotAnsweredForAWhile(t *testing.T) {
	d, counts := testDoor(nil)
	now := time.Now()
	call := func() bool {
		p := d.knock(address(0), now)
		if p != nil {
			p.leave()
		}
		return p != nil
	}
	for n := range maxCallsPerSecond {
		if !call() {
			t.Fatalf("call %d was not answered", n)
		}
	}
	for range 100 {
		if call() {
			t.Fatal("a flood was answered")
		}
	}
	if counts[fleet.FaultFlood] != 1 {
		t.Errorf("faults: %v, want one flood", counts)
	}
	if p := d.knock(address(1), now); p == nil {
		t.Error("another address was not answered meanwhile")
	}
	now = now.Add(floodPause)
	if !call() {
		t.Error("nothing is answered after the pause")
	}
}

func TestWhoNeverShakesHandsSpeaksAnotherProtocol(t *testing.T) {
	d, _ := testDoor(nil)
	now := time.Now()
	call := func(n int, foreign bool) bool {
		now = now.Add(time.Second)
		p := d.knock(address(n), now)
		defer p.leave()
		if foreign {
			return p.speaksOther()
		}
		p.enter()
		return false
	}
	for range 2 * maxForeign { // as a client does that tries an obfuscated handshake first
		if call(1, true) || call(1, false) {
			t.Fatal("a client is at fault that calls again in the clear")
		}
	}
	for n := 1; n <= maxForeign; n++ {
		if got, want := call(2, true), n == maxForeign; got != want {
			t.Errorf("call %d that is no handshake: a fault %v, want %v", n, got, want)
		}
	}
}

func TestCallersAreForgotten(t *testing.T) {
	d, _ := testDoor(nil)
	now := time.Now()
	for n := range maxCallers {
		d.knock(address(n), now).leave()
	}
	if d.knock(address(maxCallers), now) != nil {
		t.Error("more addresses are remembered than should be")
	}
	later := now.Add(callerForgottenAge + time.Second)
	if d.knock(address(maxCallers), later) == nil || len(d.open) != 1 {
		t.Errorf("%d addresses are remembered, want 1", len(d.open))
	}
}
