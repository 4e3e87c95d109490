package bootagent

import (
	"context"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/mesh"
)

// gossip takes part in the mesh until ctx ends. What the node says of itself no longer changes: it holds its image.
func (a *agent) gossip(ctx context.Context) error {
	m, err := mesh.Open(meshConfig(a.manifest, a.place.address))
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error {
		err := m.Join(ctx, gossipSeeds(a.manifest))
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	return g.Wait()
}

// meshConfig says who the node is in the mesh. The mesh's own log stays silent: a node's is no place for others' troubles.
func meshConfig(m fleet.Manifest, address netip.Addr) mesh.Config {
	return mesh.Config{
		Name: m.Node, Cluster: m.ClusterID, Key: m.MeshKey,
		Bind: netip.AddrPortFrom(address, m.Ports.Gossip),
		Meta: mesh.Meta{
			Role: mesh.RoleNode, Swarm: m.Ports.Swarm, Rack: m.Rack, BootID: m.BootID,
			Holdings: []mesh.Holding{{Blob: mesh.PrefixOf(m.Root.Digest), Complete: true}},
		},
	}
}

func gossipSeeds(m fleet.Manifest) []netip.AddrPort {
	var seeds []netip.AddrPort
	for _, c := range m.Controllers {
		seeds = append(seeds, netip.AddrPortFrom(c.Address, c.Ports.Gossip))
	}
	return seeds
}
