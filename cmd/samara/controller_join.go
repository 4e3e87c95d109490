package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/controller"
	"github.com/samara-hpc/samara/internal/identity"
)

type joinOptions struct {
	dir, id, address, token string
	ports                   fleet.Ports
}

func newControllerJoin(g *global) *cobra.Command {
	o := joinOptions{ports: fleet.DefaultPorts}
	c := &cobra.Command{
		Use:   "join ADDRESS",
		Short: "Make this machine a further controller of a cluster that runs",
		Long: `Make this machine a further controller of the cluster in which ADDRESS is a controller. On one of the
cluster's controllers, "samara controller token" prints the token that this takes. Nothing needs to
run here yet; "samara serve" comes next. The new controller learns first, and votes once it has
caught up.

With --token - the token is read from the standard input; without --token it is taken from
SAMARA_JOIN_TOKEN. Both keep it off the command line, where every user of the machine can see it.`,
		Example: `  samara controller join 10.1.0.1 --token -
  samara controller join 10.1.0.1:7600 --token - --id head2 --address 10.1.0.2 < token`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if !g.local() {
				return usagef("controller join: the cluster is found at ADDRESS; leave --server out")
			}
			r, err := o.request(g, c, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), g.timeout)
			defer cancel()
			joined, err := g.join(ctx, r)
			if errors.Is(err, identity.ErrNotTrusted) {
				return usagef("%w; the token is of another cluster than ADDRESS: make one on a controller of the cluster that this machine is to join (samara controller token)", err)
			}
			if errors.Is(err, api.ErrNoAnswer) {
				return fmt.Errorf("%w; is ADDRESS a controller's, does samara run there, and may this machine reach its TCP port?", err)
			}
			if err != nil {
				return err
			}
			if err := g.print(c.OutOrStdout(), view{data: joined, text: func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "joined cluster %s: controller %s at %s, in %s\n", joined.Cluster, joined.ID, joined.Address, r.Dir)
				return err
			}}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.ErrOrStderr(), "next: systemctl enable --now samara, or samara serve --dir %s\nit votes once it has caught up; samara controller list shows how far it is\n", r.Dir)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", defaultDir, "`directory` for what the controller must keep")
	f.StringVar(&o.token, "token", "", "`word` that samara controller token printed; - reads it from the standard input")
	f.StringVar(&o.id, "id", "", "`name` of this controller (the host's if empty)")
	f.StringVar(&o.address, "address", "", "`IP` where nodes and other controllers reach this machine (the one that is in ADDRESS's network if empty)")
	portFlags(c, &o.ports)
	return c
}

// request returns what the flags, the environment and the machine say.
func (o *joinOptions) request(g *global, c *cobra.Command, at string) (controller.JoinOptions, error) {
	fail := func(err error) (controller.JoinOptions, error) { return controller.JoinOptions{}, err }
	at, err := withPort("ADDRESS", at)
	if err != nil {
		return fail(err)
	}
	r := controller.JoinOptions{Address: at, ID: o.id, Ports: o.ports, Version: g.version}
	if r.Dir, err = filepath.Abs(o.dir); err != nil {
		return fail(err)
	}
	if r.ID == "" {
		if r.ID, err = hostLabel(g); err != nil {
			return fail(err)
		}
	}
	if r.OwnAddress, err = o.ownAddress(g, at); err != nil {
		return fail(err)
	}
	if r.Token, err = o.word(g, c); err != nil {
		return fail(err)
	}
	return r, nil
}

// word returns the token.
func (o *joinOptions) word(g *global, c *cobra.Command) (string, error) {
	switch {
	case o.token == "-":
		out := io.Discard
		if g.terminal(c.InOrStdin()) {
			out = c.ErrOrStderr()
		}
		return newAsker(c.InOrStdin(), out).line(c.Context(), "Token:", "")
	case o.token != "":
		return o.token, nil
	case g.joinToken != "":
		return g.joinToken, nil
	}
	return "", usagef("controller join: --token is missing; want the word that samara controller token prints, on a controller of the cluster")
}

// ownAddress returns --address, or this machine's address in the network of the controller at, or its only address.
func (o *joinOptions) ownAddress(g *global, at string) (netip.Addr, error) {
	if o.address != "" {
		return parseAddr("address", o.address)
	}
	local, err := g.addresses()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("controller join: addresses of this machine: %w", err)
	}
	found := local
	if host, _, err := net.SplitHostPort(at); err == nil {
		if a, err := netip.ParseAddr(host); err == nil {
			found = nearest(local, a)
		}
	}
	if len(found) != 1 {
		return netip.Addr{}, usagef("controller join: --address is missing; want this machine's IP on the nodes' network; it has %s", join(local))
	}
	return found[0].Addr(), nil
}

// nearest returns those of local in whose network a is, or all of them if there is none.
func nearest(local []netip.Prefix, a netip.Addr) []netip.Prefix {
	var near []netip.Prefix
	for _, p := range local {
		if p.Contains(a) {
			near = append(near, p)
		}
	}
	if len(near) == 0 {
		return local
	}
	return near
}
