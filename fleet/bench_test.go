package fleet

import (
	"fmt"
	"net/netip"
	"testing"
)

// large returns a state with 10,000 nodes, each with an address and an image.
func large(b *testing.B) State {
	b.Helper()
	s := State{}
	n := testNetwork()
	n.Subnet, n.Gateway, n.Discovery = subnet("10.1.0.0/16"), netip.Addr{}, Range{}
	nodes := make([]Node, 10_000)
	for i := range nodes {
		nodes[i] = Node{Name: fmt.Sprintf("n%05d", i), Image: ImageRef{Name: "debian"}, Interfaces: []Interface{{
			Name: "default", MAC: MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, IP: netip.AddrFrom4([4]byte{10, 1, byte(1 + i>>8), byte(i)})}}}
		if nodes[i].Interfaces[0].IP == n.Broadcast() {
			b.Fatal("the network is too small")
		}
	}
	for _, c := range []Command{InitCluster{Cluster: testCluster(), Networks: []Network{n}}, AddImageVersion{Image: "debian", Version: testVersion()}, AddNodes{nodes}} {
		var err error
		if s, err = s.Apply(Entry{Command: c}, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkPlan is what every request on the boot path begins with, among 10,000 nodes.
func BenchmarkPlan(b *testing.B) {
	s := large(b)
	for i := 0; b.Loop(); i++ {
		at := i % 10_000
		if _, err := s.Plan(MAC{2, 0, 0, 0, byte(at >> 8), byte(at)}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply changes one node among 10,000.
func BenchmarkApply(b *testing.B) {
	s := large(b)
	args := []string{"quiet"}
	for i := 0; b.Loop(); i++ {
		c := SetNodes{Names: []string{fmt.Sprintf("n%05d", i%10_000)}, KernelArgs: &args}
		var err error
		if s, err = s.Apply(Entry{Command: c}, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSnapshot writes a state of 10,000 nodes.
func BenchmarkSnapshot(b *testing.B) {
	s := large(b)
	for b.Loop() {
		s.Hash()
	}
}
