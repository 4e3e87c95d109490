package warewulf

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/samara-hpc/samara/fleet"
)

// A lent is a value that profiles lend to nodes, and that does not fit every node.
type lent struct {
	field, path string
	says        func(*object) bool
	text        func(*object) string
	matters     func(node *object) bool       // whether it is of use to a node
	fits        func(node, from *object) bool // whether what from says fits a node
	give        func(from, to *object)
	drop        func(*object)
}

// fitLent takes away what does not fit a node: of itself, or of its profiles, which then say it no more. The nodes that it
// does fit say it themselves instead.
func (r *reader) fitLent(networks []fleet.Network) {
	devices := map[string]bool{}
	for _, o := range r.nodes {
		for _, n := range o.Interfaces {
			devices[n.Name] = true
		}
	}
	for _, d := range slices.Sorted(maps.Keys(devices)) {
		r.fit(gatewayOf(d, networks))
		r.fit(gateway6Of(d, r))
	}
	r.fit(r.primary())
}

func (r *reader) fit(l lent) {
	nodes := r.allNodes()
	for range len(r.profiles) + 1 { // each turn clears one profile at least, or is the last
		unfit := map[*object]bool{}
		for _, o := range nodes {
			from := r.source(o, l.says)
			if from == nil || !l.matters(o) || l.fits(o, from) {
				continue
			}
			line := r.places[place{from.ref, l.path}]
			r.note(Left, line, o.ref, l.field, l.text(from), "say what is right for these nodes")
			if from == o {
				l.drop(o)
			} else {
				unfit[from] = true
			}
		}
		if len(unfit) == 0 {
			return
		}
		for _, o := range nodes {
			if from := r.source(o, l.says); from != nil && unfit[from] && l.matters(o) && l.fits(o, from) {
				l.give(from, o)
			}
		}
		for p := range unfit {
			r.note(Fixed, r.places[place{p.ref, l.path}], p.ref, l.field, "it does not fit all nodes that have it of the profile; those that it fits say it themselves", "")
			l.drop(p)
		}
	}
}

// ensure returns a node's device, which it may so far have of profiles alone.
func (o *object) ensure(device string) *fleet.Interface {
	if n := o.device(device); n != nil {
		return n
	}
	o.Interfaces = append(o.Interfaces, fleet.Interface{Name: device})
	slices.SortFunc(o.Interfaces, func(a, b fleet.Interface) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return o.device(device)
}

func gatewayOf(device string, networks []fleet.Network) lent {
	return lent{
		field: "network devices.*.gateway", path: "interfaces." + pathKey(device) + ".gateway",
		says: func(o *object) bool { n := o.device(device); return n != nil && n.Gateway.IsValid() },
		text: func(o *object) string {
			return fmt.Sprintf("gateway %s is no other machine of the node's network", o.device(device).Gateway)
		},
		matters: func(node *object) bool { n := node.device(device); return n != nil && n.IP.IsValid() },
		fits: func(node, from *object) bool {
			n, g := node.device(device), from.device(device).Gateway
			at := slices.IndexFunc(networks, func(w fleet.Network) bool { return w.Subnet.Contains(n.IP) })
			return at < 0 || g != n.IP && networks[at].CheckHost(g) == nil
		},
		give: func(from, to *object) { to.ensure(device).Gateway = from.device(device).Gateway },
		drop: func(o *object) { o.device(device).Gateway = netip.Addr{} },
	}
}

func gateway6Of(device string, r *reader) lent {
	return lent{
		field: "network devices.*.gateway6", path: "interfaces." + pathKey(device) + ".gateway6",
		says: func(o *object) bool { n := o.device(device); return n != nil && n.Gateway6.IsValid() },
		text: func(o *object) string {
			return fmt.Sprintf("gateway %s is no other machine of the node's network", o.device(device).Gateway6)
		},
		matters: func(node *object) bool { n := node.device(device); return n != nil && n.IP6.IsValid() },
		fits: func(node, from *object) bool {
			n, g := node.device(device), from.device(device).Gateway6
			if g.IsLinkLocalUnicast() {
				return true
			}
			bits := r.said(node, device, func(i *fleet.Interface) bool { return i.Prefix6 != 0 }).Prefix6
			if bits == 0 {
				bits = 64
			}
			return g != n.IP6 && netip.PrefixFrom(n.IP6, bits).Masked().Contains(g)
		},
		give: func(from, to *object) { to.ensure(device).Gateway6 = from.device(device).Gateway6 },
		drop: func(o *object) { o.device(device).Gateway6 = netip.Addr{} },
	}
}

// primary is the name of a node's own device, which must be one that it has.
func (r *reader) primary() lent {
	return lent{
		field: "primary network", path: "primary_network",
		says:    func(o *object) bool { return o.PrimaryNetwork != "" },
		text:    func(o *object) string { return fmt.Sprintf("the node has no device %s", o.PrimaryNetwork) },
		matters: func(*object) bool { return true },
		fits: func(node, from *object) bool {
			return r.source(node, func(o *object) bool { return o.device(from.PrimaryNetwork) != nil }) != nil
		},
		give: func(from, to *object) { to.PrimaryNetwork = from.PrimaryNetwork },
		drop: func(o *object) { o.PrimaryNetwork = "" },
	}
}
