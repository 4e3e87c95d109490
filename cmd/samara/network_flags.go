package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
)

// networkFlags are the flags with which a network is described.
type networkFlags struct {
	subnet, gateway, domain, discovery, dhcp string
	dns                                      []string
}

func (o *networkFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.subnet, "subnet", "", "`prefix` such as 10.1.0.0/16")
	f.StringVar(&o.gateway, "gateway", "", "`address` of the router; \"\" for none")
	f.StringSliceVar(&o.dns, "dns", nil, "`addresses` of name servers, at most 3, separated by commas")
	f.StringVar(&o.domain, "domain", "", "DNS `domain` of the nodes")
	f.StringVar(&o.discovery, "discovery", "", "`FIRST-LAST`: addresses for machines that are being discovered")
	f.StringVar(&o.dhcp, "dhcp", string(fleet.DHCPFull), "`mode`: full, proxy (beside another DHCP server) or off")
	completeFlag(c, "dhcp", cobra.FixedCompletions([]string{"full", "proxy", "off"}, cobra.ShellCompDirectiveNoFileComp))
}

// apply puts into n what the flags for which changed holds say.
func (o *networkFlags) apply(n *fleet.Network, changed func(string) bool) error {
	if changed("subnet") {
		subnet, err := parseSubnet(o.subnet)
		if err != nil {
			return err
		}
		n.Subnet = subnet
	}
	if changed("gateway") {
		gateway, err := parseAddr("gateway", o.gateway)
		if err != nil {
			return err
		}
		n.Gateway = gateway
	}
	if changed("dns") {
		n.DNS = nil
		for _, s := range o.dns {
			a, err := parseAddr("dns", s)
			if err != nil {
				return err
			}
			if a.IsValid() {
				n.DNS = append(n.DNS, a)
			}
		}
	}
	if changed("domain") {
		n.Domain = o.domain
	}
	if changed("discovery") {
		pool, err := fleet.ParseRange(o.discovery)
		if err != nil {
			return fmt.Errorf("--discovery: %w", err)
		}
		n.Discovery = pool
	}
	if changed("dhcp") {
		n.DHCP = fleet.DHCPMode(o.dhcp)
	}
	return nil
}

func parseSubnet(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, usagef("--subnet %q: want an IPv4 prefix such as 10.1.0.0/16", s)
	}
	return p, nil
}
