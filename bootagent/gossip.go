package bootagent

import (
	"context"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/mesh"
)

// gossip takes part in the mesh until ctx ends. The node says of itself that it holds its image while it gives it on.
func (a *agent) gossip(ctx context.Context) error {
	c := meshConfig(a.manifest, a.place.address)
	m, err := mesh.Open(c)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error { return a.policy.tell(ctx, c.Meta, m.SetMeta) })
	g.Go(func() error {
		err := m.Join(ctx, gossipSeeds(a.manifest))
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	return g.Wait()
}

// tell has gossip say that the node holds what meta says while it is to give it on, until ctx ends. A pause is not told: it
// may be over before everybody has heard of it.
func (p *policy) tell(ctx context.Context, meta mesh.Meta, set func(mesh.Meta) error) error {
	holds := true
	for {
		now, turned := p.paused()
		if holds != !now.ended {
			holds = !now.ended
			said := meta
			if !holds {
				said.Holdings = nil
			}
			if err := set(said); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-turned:
		}
	}
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
