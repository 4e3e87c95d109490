package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/controller"
)

type initOptions struct {
	networkFlags
	dir, cluster, id, address, network string
	keyFiles                           []string
	ports                              fleet.Ports
}

func newInit(g *global) *cobra.Command {
	o := initOptions{ports: fleet.DefaultPorts}
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the first controller of a new cluster on this machine",
		Long: `Make the first controller of a new cluster on this machine: its authority, its keys, and the network
that nodes boot on. What no flag says is asked for on a terminal, with what is likely as the
default. Nothing needs to run yet; "samara serve" comes next. Two further controllers make the
cluster survive the loss of any one: "samara controller join" makes them, on machines of their own.`,
		Example: `  samara init
  samara init --name hall3 --address 10.1.0.1 --subnet 10.1.0.0/16 --gateway 10.1.0.254 \
      --dns 10.1.0.1 --ssh-key /root/.ssh/id_ed25519.pub`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := o.request(g, c)
			if err != nil {
				return err
			}
			if err := g.init(c.Context(), r); err != nil {
				return err
			}
			n := r.Networks[0]
			if _, err := fmt.Fprintf(c.OutOrStdout(), "made cluster %s: controller %s at %s, network %s (%s), in %s\n", r.Cluster, r.ID, r.Address, n.Name, n.Subnet, r.Dir); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.ErrOrStderr(), "next: systemctl enable --now samara, or samara serve --dir %s\nto ask from another machine, copy %s there for --identity, and keep it safe\n", r.Dir, filepath.Join(r.Dir, "admin"))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", defaultDir, "`directory` for what the controller must keep")
	f.StringVar(&o.cluster, "name", "", "`name` of the cluster")
	f.StringVar(&o.id, "id", "", "`name` of this controller (the host's if empty)")
	f.StringVar(&o.address, "address", "", "`IP` where nodes and other controllers reach this machine")
	f.StringVar(&o.network, "network", "boot", "`name` of the network that nodes boot on")
	o.networkFlags.add(c)
	f.StringArrayVar(&o.keyFiles, "ssh-key", nil, "`file` with public keys for root on every node (repeatable)")
	portFlags(c, &o.ports)
	return c
}

// request returns what the flags say, and asks on a terminal for what they leave out.
func (o *initOptions) request(g *global, c *cobra.Command) (controller.InitOptions, error) {
	var r controller.InitOptions
	changed := c.Flags().Changed
	keys, err := readKeys(o.keyFiles)
	if err != nil {
		return r, err
	}
	if o.id == "" {
		if o.id, err = hostLabel(g); err != nil {
			return r, err
		}
	}
	local, err := g.addresses()
	if err != nil {
		return r, fmt.Errorf("init: addresses of this machine: %w", err)
	}
	if g.terminal(c.InOrStdin()) {
		if err := o.askAll(c.Context(), newAsker(c.InOrStdin(), c.ErrOrStderr()), local, changed); err != nil {
			return r, err
		}
	}
	for _, need := range []struct{ flag, value, example string }{
		{"name", o.cluster, "a name such as hall3"},
		{"address", o.address, "this machine's IP on the nodes' network; it has " + join(local)},
		{"subnet", o.subnet, "a prefix such as 10.1.0.0/16"},
	} {
		if need.value == "" {
			return r, usagef("init: --%s is missing; want %s", need.flag, need.example)
		}
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return r, err
	}
	address, err := parseAddr("address", o.address)
	if err != nil {
		return r, err
	}
	n := fleet.Network{Name: o.network}
	if err := o.apply(&n, func(string) bool { return true }); err != nil {
		return r, err
	}
	return controller.InitOptions{Dir: dir, Cluster: o.cluster, ID: o.id, Address: address, Ports: o.ports,
		Networks: []fleet.Network{n}, AuthorizedKeys: keys}, nil
}

// askAll asks for what decides how nodes boot, but not for what a flag has said.
func (o *initOptions) askAll(ctx context.Context, a *asker, local []netip.Prefix, changed func(string) bool) error {
	if _, err := fmt.Fprintf(a.out, "This machine has %s.\n", join(local)); err != nil {
		return err
	}
	address := ""
	if len(local) > 0 {
		address = local[0].Addr().String()
	}
	for _, q := range []struct {
		flag, question string
		value          *string
		def            func() string
		check          func(string) error
	}{
		{"name", "Name of the cluster", &o.cluster, func() string { return "samara" }, func(s string) error { return fleet.CheckName("cluster", s) }},
		{"address", "Address where nodes reach this machine", &o.address, func() string { return address }, needAddr},
		{"subnet", "Subnet that nodes boot on", &o.subnet, func() string { return subnetOf(o.address, local) }, func(s string) error { _, err := parseSubnet(s); return err }},
		{"gateway", "Gateway of the nodes, or none", &o.gateway, func() string { return "none" }, noneOrAddr},
		{"dhcp", "DHCP: full, proxy (beside another server) or off", &o.dhcp, func() string { return string(fleet.DHCPFull) }, needMode},
	} {
		if changed(q.flag) {
			continue
		}
		if err := a.ask(ctx, q.question, q.def(), func(s string) error {
			if err := q.check(s); err != nil {
				return err
			}
			*q.value = s
			return nil
		}); err != nil {
			return err
		}
	}
	if o.gateway == "none" {
		o.gateway = ""
	}
	return nil
}

func needAddr(s string) error {
	if s == "" {
		return usagef("want an IPv4 address")
	}
	_, err := parseAddr("address", s)
	return err
}

func noneOrAddr(s string) error {
	if s == "none" {
		return nil
	}
	_, err := parseAddr("gateway", s)
	return err
}

func needMode(s string) error {
	if !slices.Contains([]fleet.DHCPMode{fleet.DHCPFull, fleet.DHCPProxy, fleet.DHCPOff}, fleet.DHCPMode(s)) {
		return usagef("%q: want full, proxy or off", s)
	}
	return nil
}

// subnetOf returns the subnet in which this machine has an address, or "".
func subnetOf(address string, local []netip.Prefix) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	for _, p := range local {
		if p.Contains(a) {
			return p.Masked().String()
		}
	}
	return ""
}

// hostLabel returns the first label of the host's name, as a controller's name.
func hostLabel(g *global) (string, error) {
	name, err := g.hostname()
	if err != nil {
		return "", fmt.Errorf("name of this host: %w; --id names the controller", err)
	}
	label, _, _ := strings.Cut(strings.ToLower(name), ".")
	if err := fleet.CheckName("controller", label); err != nil {
		return "", fmt.Errorf("%w; --id names the controller", err)
	}
	return label, nil
}

func join(local []netip.Prefix) string {
	if len(local) == 0 {
		return "no IPv4 address yet"
	}
	return strings.Join(mapped(local, func(p netip.Prefix) string { return p.String() }), ", ")
}
