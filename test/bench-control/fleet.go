package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/raftstore"
)

// perEntry is how many nodes are added by one entry, well below fleet.MaxEntry.
const perEntry = 1000

func entry(c fleet.Command) fleet.Entry {
	return fleet.Entry{Command: c, At: time.Now(), Who: "bench-control"}
}

func initCluster(g group) fleet.Command {
	key := bytes.Repeat([]byte{7}, 32)
	c := fleet.Cluster{Name: "bench", ID: "0123456789abcdef", CA: []byte("certificate"), CAKey: fleet.Secret("key"), MeshKey: key, TokenKey: key, IDKey: key, Format: fleet.Format}
	for _, ctl := range g {
		ports := fleet.DefaultPorts
		ports.Control = ctl.address.Port()
		c.Controllers = append(c.Controllers, fleet.Controller{ID: ctl.id, Address: ctl.address.Addr(), Ports: ports})
	}
	return fleet.InitCluster{Cluster: c, Networks: []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/16"), DHCP: fleet.DHCPFull}}}
}

func image(g group) fleet.Command {
	blob := func(b byte) fleet.Blob { return fleet.Blob{Digest: fleet.Digest{b}, Size: 1 << 20} }
	c := fleet.AddImageVersion{Image: "debian", Version: fleet.ImageVersion{Root: blob(1), Torrent: blob(2), Kernel: blob(3), Initramfs: blob(4), Agent: fleet.Digest{5},
		KernelRelease: "6.1.0-40-amd64", Arch: "amd64", Source: "debian.tar", Imported: time.Now().UTC()}}
	for _, ctl := range g {
		c.Holders = append(c.Holders, ctl.id)
	}
	return c
}

func mac(i int) fleet.MAC { return fleet.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)} }

// nodes returns perEntry nodes, the first with that number.
func nodes(from int) []fleet.Node {
	all := make([]fleet.Node, perEntry)
	for i := range all {
		at := from + i
		all[i] = fleet.Node{Name: fmt.Sprintf("n%05d", at), Settings: fleet.Settings{Rack: fmt.Sprintf("r%d", at/40), Image: fleet.ImageRef{Name: "debian"}, Interfaces: []fleet.Interface{{
			Name: "default", MAC: mac(at), IP: netip.AddrFrom4([4]byte{10, 1, byte(1 + at>>8), byte(at)})}}}}
	}
	return all
}

// populate adds an image and n nodes that boot it.
func populate(ctx context.Context, s *raftstore.Store, g group, n int) error {
	if _, err := s.Propose(ctx, entry(image(g))); err != nil {
		return err
	}
	for from := 0; from < n; from += perEntry {
		if _, err := s.Propose(ctx, entry(fleet.AddNodes{Nodes: nodes(from)})); err != nil {
			return err
		}
	}
	return nil
}
