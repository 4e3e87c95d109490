package main

import (
	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
)

// portFlags adds the flags of every command that makes a controller.
func portFlags(c *cobra.Command, p *fleet.Ports) {
	f := c.Flags()
	f.Uint16Var(&p.Control, "port-control", p.Control, "TCP `port` for agents, controllers and people")
	f.Uint16Var(&p.Boot, "port-boot", p.Boot, "TCP `port` for boot scripts, kernels and the tracker")
	f.Uint16Var(&p.Swarm, "port-swarm", p.Swarm, "TCP `port` of the swarm, here and on nodes")
	f.Uint16Var(&p.Gossip, "port-gossip", p.Gossip, "TCP and UDP `port` of gossip, here and on nodes")
}
