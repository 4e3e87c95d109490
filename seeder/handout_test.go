package seeder

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func memberAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7602)
}

// drawMembers makes members n0, n1, ... in up to five racks.
func drawMembers(t *rapid.T, most int) []Member {
	ms := make([]Member, rapid.IntRange(0, most).Draw(t, "members"))
	for i := range ms {
		ms[i] = Member{
			Name:    fmt.Sprintf("n%d", i),
			Rack:    fmt.Sprintf("r%d", rapid.IntRange(0, 4).Draw(t, "rack")),
			Addr:    memberAddr(i),
			Holding: rapid.SampledFrom([]Holding{HoldsNone, HoldsSome, HoldsSome, HoldsAll}).Draw(t, "holding"),
			Alive:   rapid.IntRange(0, 9).Draw(t, "alive") > 0,
			Origin:  rapid.IntRange(0, 19).Draw(t, "origin") == 0,
		}
	}
	return ms
}

func TestHandOutKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := HandOutInput{Asker: "n3", Rack: "r1", Members: drawMembers(t, 80), Starving: rapid.Bool().Draw(t, "starving")}
		got := HandOut(in)

		var eligible, far, whole, wholeNear int
		by := make(map[netip.AddrPort]Member)
		for _, m := range in.Members {
			if m.Alive && !m.Origin && m.Holding != HoldsNone && m.Name != in.Asker {
				by[m.Addr] = m
				eligible++
				far += count(m.Rack != in.Rack)
				whole += count(m.Holding == HoldsAll)
				wholeNear += count(m.Holding == HoldsAll && m.Rack == in.Rack)
			}
		}
		if want := min(eligible, HandOutPeers); len(got.Peers) != want {
			t.Fatalf("got %d peers of %d eligible, want %d", len(got.Peers), eligible, want)
		}
		var gotFar, gotWhole int
		seen := make(map[netip.AddrPort]bool)
		for _, p := range got.Peers {
			m, ok := by[p]
			if !ok || seen[p] {
				t.Fatalf("got %v, which is not eligible or is there twice", p)
			}
			seen[p] = true
			gotFar += count(m.Rack != in.Rack)
			gotWhole += count(m.Holding == HoldsAll)
		}
		if gotFar < min(far, handOutFar) {
			t.Errorf("got %d far peers of %d", gotFar, far)
		}
		if gotWhole < min(whole, handOutComplete) {
			t.Errorf("got %d complete peers of %d", gotWhole, whole)
		}
		if near := eligible - far; gotFar > max(handOutFar, HandOutPeers-near) && gotFar > whole {
			t.Errorf("got %d far peers though the rack has %d", gotFar, near)
		}
		warm := wholeNear >= warmInRack || whole >= warmAnywhere
		if want := in.Starving || !warm; got.Origin != want {
			t.Errorf("origin: got %v, want %v with %d complete in the rack, %d in all", got.Origin, want, wholeNear, whole)
		}
	})
}

func TestHandOutIsTheSameInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := HandOutInput{Asker: "n1", Rack: "r0", Members: drawMembers(t, 60)}
		want := HandOut(in)
		in.Members = rapid.Permutation(in.Members).Draw(t, "order")
		if got := HandOut(in); !slices.Equal(got.Peers, want.Peers) || got.Origin != want.Origin {
			t.Errorf("got %v, in another order %v", want, got)
		}
	})
}

func TestHandOutChangesLittleWhenOneMemberLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := HandOutInput{Asker: "n1", Rack: "r0", Members: drawMembers(t, 60)}
		if len(in.Members) == 0 {
			return
		}
		before := HandOut(in)
		gone := rapid.IntRange(0, len(in.Members)-1).Draw(t, "gone")
		left := in.Members[gone].Addr
		in.Members = slices.Delete(slices.Clone(in.Members), gone, gone+1)
		after := HandOut(in)
		kept := 0
		for _, p := range before.Peers {
			if p != left && slices.Contains(after.Peers, p) {
				kept++
			}
		}
		// The one that left, and one that its stand-in displaces in turn.
		if kept < len(before.Peers)-2 {
			t.Errorf("%v left: of %v only %d stay, in %v", left, before.Peers, kept, after.Peers)
		}
	})
}

func TestHandOutMakesOneEvenGraph(t *testing.T) {
	const nodes, racks = 400, 10
	ms := make([]Member, nodes)
	for i := range ms {
		ms[i] = Member{Name: fmt.Sprintf("n%03d", i), Rack: fmt.Sprintf("r%d", i%racks), Addr: memberAddr(i), Holding: HoldsSome, Alive: true}
	}
	named := make(map[netip.AddrPort]int)
	next := make(map[netip.AddrPort][]netip.AddrPort)
	for _, m := range ms {
		got := HandOut(HandOutInput{Asker: m.Name, Rack: m.Rack, Members: ms})
		if !got.Origin {
			t.Fatalf("%s may not use the origin of a cold image", m.Name)
		}
		for _, p := range got.Peers {
			named[p]++
			next[m.Addr] = append(next[m.Addr], p)
			next[p] = append(next[p], m.Addr)
		}
	}
	for _, m := range ms {
		if n := named[m.Addr]; n > 3*HandOutPeers {
			t.Errorf("%s is named to %d of %d nodes", m.Name, n, nodes)
		}
	}
	reached := map[netip.AddrPort]bool{ms[0].Addr: true}
	for edge := []netip.AddrPort{ms[0].Addr}; len(edge) > 0; edge = edge[1:] {
		for _, p := range next[edge[0]] {
			if !reached[p] {
				reached[p] = true
				edge = append(edge, p)
			}
		}
	}
	if len(reached) != nodes {
		t.Errorf("the graph falls apart: %d of %d nodes are reached", len(reached), nodes)
	}
}

func TestHandOutOfACompleteAskerIsEmpty(t *testing.T) {
	ms := []Member{{Name: "n2", Addr: memberAddr(2), Holding: HoldsAll, Alive: true}}
	if got := HandOut(HandOutInput{Asker: "n1", Complete: true, Members: ms}); len(got.Peers) != 0 || got.Origin {
		t.Errorf("got %v, want nothing", got)
	}
	if got := HandOut(HandOutInput{Asker: "n1"}); !got.Origin {
		t.Error("with no other member the origin must be allowed")
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
