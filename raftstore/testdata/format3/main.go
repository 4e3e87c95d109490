// Command fixture writes a controller's state as this release writes it, and the state as lines of JSON.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/raftstore"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(dir string, threshold uint64) *raftstore.Store {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7600}
	s, err := raftstore.Open(raftstore.Config{Dir: dir, ID: "c1", Address: addr.String(),
		Stream:           raftstore.NewStream(l, addr, &tls.Config{MinVersion: tls.VersionTLS13}, func(tls.ConnectionState) error { return nil }),
		SnapshotInterval: 10 * time.Millisecond, SnapshotThreshold: threshold, TrailingLogs: 2})
	check(err)
	return s
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func blob(b byte) fleet.Blob { return fleet.Blob{Digest: fleet.Digest{b}, Size: int64(b) << 20} }

func node(i byte) fleet.Node {
	return fleet.Node{Name: fmt.Sprintf("n%03d", i), Rack: "r1", Image: fleet.ImageRef{Name: "debian"}, KernelArgs: []string{"quiet"},
		Interfaces: []fleet.Interface{{Name: "default", MAC: fleet.MAC{2, 0, 0, 0, 0, i}, IP: netip.AddrFrom4([4]byte{10, 1, 0, i})}}}
}

func main() {
	dir := os.Args[1]
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	args := []string{"quiet", "console=ttyS0"}
	ref := fleet.ImageRef{Name: "debian", Version: 1}
	network := fleet.Network{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/24"), Gateway: netip.MustParseAddr("10.1.0.254"),
		DHCP: fleet.DHCPFull, Discovery: fleet.Range{netip.MustParseAddr("10.1.0.200"), netip.MustParseAddr("10.1.0.220")}}
	spare := network
	spare.Name, spare.Subnet, spare.Gateway, spare.Discovery = "spare", netip.MustParsePrefix("10.2.0.0/24"), netip.Addr{}, fleet.Range{}
	version := fleet.ImageVersion{Root: blob(1), Torrent: blob(2), Kernel: blob(3), Initramfs: blob(4), Agent: fleet.Digest{5},
		KernelRelease: "6.1.0-40-amd64", Arch: "amd64", Source: "debian.tar", Imported: at}
	second := version
	second.Root, second.Torrent = blob(6), blob(7)
	keys := []string{"ssh-ed25519 AAAA admin"}
	var nodes []fleet.Node
	for i := byte(1); i <= 20; i++ {
		nodes = append(nodes, node(i))
	}
	armed := fleet.Node{Name: "n040", Interfaces: []fleet.Interface{{Name: "default", IP: netip.AddrFrom4([4]byte{10, 1, 0, 40})}}}
	holders := []string{"c1"}
	limit := int64(1 << 20)
	before := []fleet.Entry{
		{Command: fleet.InitCluster{Cluster: fleet.Cluster{Name: "lab", ID: "0123456789abcdef", CA: []byte("certificate"), CAKey: fleet.Secret("key"),
			MeshKey: key, TokenKey: key, IDKey: key, Format: 3, Seeding: fleet.Seeding{PauseFile: "/run/job"},
			Controllers: []fleet.Controller{{ID: "c1", Address: netip.MustParseAddr("127.0.0.1"), Ports: fleet.DefaultPorts, Key: fleet.Digest{1}}}}, Networks: []fleet.Network{network}}, ID: "init"},
		{Command: fleet.AddImageVersion{Image: "debian", Version: version, Holders: holders}, ID: "image"},
		{Command: fleet.AddNodes{Nodes: nodes}, ID: "nodes"},
		{Command: fleet.PutNetwork{Network: spare, Create: true}},
		{Command: fleet.AddNodes{Nodes: nodes[:1]}, ID: "again"}, // refused
		{Command: fleet.SetCluster{AuthorizedKeys: &keys}, If: []fleet.Condition{{Kind: "cluster", Revision: 4}}},
		{Command: fleet.DeleteNodes{Names: []string{"n003", "n004"}}},
		{Command: fleet.SealCAKey{Sealed: fleet.Secret("sealed")}},
		{Command: fleet.AddJoinToken{Token: fleet.JoinToken{ID: "t1", Hash: fleet.Digest{9}, Expires: at.Add(time.Hour)}}, ID: "token"},
	}
	after := []fleet.Entry{
		{Command: fleet.SetCluster{Seeding: &fleet.SetSeeding{NodeUpload: &limit}}, ID: "limit"},
		{Command: fleet.AddImageVersion{Image: "debian", Version: second}, ID: "early"}, // refused: nobody holds it
		{Command: fleet.AddImageVersion{Image: "debian", Version: second, Holders: holders}},
		{Command: fleet.SetNodes{Names: []string{"n001", "n002"}, Image: &ref, KernelArgs: &args}},
		{Command: fleet.DeleteNetwork{Name: "spare"}, ID: "spare"},
		{Command: fleet.DeleteNetwork{Name: "spare"}}, // refused
		{Command: fleet.AddNodes{Nodes: []fleet.Node{node(30), armed}}},
		{Command: fleet.ArmDiscovery{Names: []string{"n040"}, Until: at.Add(time.Hour)}, ID: "arm"},
		{Command: fleet.ClaimNode{MAC: fleet.MAC{2, 0, 0, 0, 1, 1}, Network: "boot"}, ID: "claim"},
		{Command: fleet.DeleteNodes{Names: []string{"n020"}}},
		{Command: fleet.DeleteImage{Image: "debian"}, ID: "used"}, // refused: by more nodes than the message names
	}
	run := func(threshold uint64, entries []fleet.Entry, done func(*raftstore.Store) bool) {
		s := open(dir, threshold)
		if s.Status().Last == 0 {
			check(s.Bootstrap())
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		check(s.WaitLeader(ctx))
		for i, e := range entries {
			e.At, e.Who, e.Why = at.Add(time.Duration(i)*time.Second), "fixture", "format 3"
			_, err := s.Propose(ctx, e)
			if err != nil && !fleet.IsRefusal(err) {
				log.Fatal(err)
			}
		}
		for !done(s) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		check(<-ended)
		f, err := os.Create(filepath.Join(dir, "..", "state.jsonl"))
		check(err)
		_, err = s.State().WriteTo(f)
		check(err)
		check(f.Close())
		fmt.Printf("%+v\n", s.Status())
	}
	run(5, before, func(s *raftstore.Store) bool { return s.Status().Snapshot >= uint64(s.State().Revision()) })
	run(1000, after, func(*raftstore.Store) bool { return true })
}
