package warewulf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// order returns the profiles that a list stands for, in the order in which they are laid: see fleet's State.Resolve.
func (r *reader) order(names []string) []*object {
	var all []string
	seen := map[string]bool{}
	var walk func(names []string)
	walk = func(names []string) {
		for _, n := range names {
			if strings.HasPrefix(n, "~") {
				all = append(all, n)
				continue
			}
			if p := r.profiles[n]; p != nil && !seen[n] {
				seen[n] = true
				walk(p.profiles)
				all = append(all, n)
			}
		}
	}
	walk(names)
	var out []*object
	for _, n := range all {
		if !strings.HasPrefix(n, "~") && !slices.Contains(all, "~"+n) {
			out = append(out, r.profiles[n])
		}
	}
	return out
}

// below returns the profiles that count for an object, in the order in which they are laid.
func (r *reader) below(o *object) []*object {
	key := strings.Join(o.profiles, ",")
	all, known := r.orders[key]
	if !known {
		all = r.order(o.profiles)
		r.orders[key] = all
	}
	return all
}

// source returns the last of an object and its profiles that says something; nil if none does.
func (r *reader) source(o *object, says func(*object) bool) *object {
	if says(o) {
		return o
	}
	for _, p := range slices.Backward(r.below(o)) {
		if says(p) {
			return p
		}
	}
	return nil
}

// said returns what an object or the last of its profiles that says something of a device says of it.
func (r *reader) said(o *object, device string, says func(*fleet.Interface) bool) fleet.Interface {
	from := r.source(o, func(o *object) bool { n := o.device(device); return n != nil && says(n) })
	if from == nil {
		return fleet.Interface{}
	}
	return *from.device(device)
}

func (o *object) device(name string) *fleet.Interface {
	if at := slices.IndexFunc(o.Interfaces, func(i fleet.Interface) bool { return i.Name == name }); at >= 0 {
		return &o.Interfaces[at]
	}
	return nil
}

// breakCycles takes away what makes a profile a part of itself. Warewulf passes over it.
func (r *reader) breakCycles() {
	const fresh, open, done = 0, 1, 2
	state := map[string]int{}
	var walk func(o *object)
	walk = func(o *object) {
		state[o.name] = open
		var kept []string
		for _, n := range o.profiles {
			p := r.profiles[n]
			if p != nil && state[n] == open {
				r.note(Fixed, r.places[place{o.ref, "profiles"}], o.ref, "profiles",
					fmt.Sprintf("profile %s is a part of itself by way of %s; it is not named here any more", n, o.name), "see that nodes with this profile alone have all they need")
				continue
			}
			if p != nil && state[n] == fresh {
				walk(p)
			}
			kept = append(kept, n)
		}
		o.profiles = kept
		state[o.name] = done
	}
	for _, p := range sorted(r.profiles) {
		if state[p.name] == fresh {
			walk(p)
		}
	}
	r.orders = map[string][]*object{}
}

// An own is a value that is each machine's own, and so has no place in a profile.
type own struct {
	field, path string
	has         func(*object) bool
	move        func(from, to *object)
	drop        func(*object)
}

// giveOwn moves addresses from profiles to the nodes that have them of these, if that is one node.
func (r *reader) giveOwn() {
	heirs := map[string][]*object{} // of each profile: the nodes that it counts for
	for _, n := range r.allNodes() {
		for _, p := range r.below(n) {
			heirs[p.name] = append(heirs[p.name], n)
		}
	}
	// Those that are laid later hold before those below: a node that got an address has it.
	for _, p := range slices.Backward(r.order(r.allProfiles())) {
		for _, v := range owns(p) {
			line := r.places[place{p.ref, v.path}]
			var without []*object
			for _, n := range heirs[p.name] {
				if !v.has(n) {
					without = append(without, n)
				}
			}
			switch len(without) {
			case 0:
				r.note(Fixed, line, p.ref, v.field, "an address in a profile, which no node has of it; it is gone", "")
			case 1:
				v.move(p, without[0])
				r.places[place{without[0].ref, v.path}] = line
				r.note(Fixed, line, p.ref, v.field, fmt.Sprintf("an address in a profile; it is node %s's, which alone has it of it", without[0].name), "")
			default:
				r.note(Left, line, p.ref, v.field, fmt.Sprintf("one address for %d nodes", len(without)), "give each node its own")
			}
			v.drop(p)
		}
	}
}

func (r *reader) allProfiles() []string {
	var names []string
	for _, p := range sorted(r.profiles) {
		names = append(names, p.name)
	}
	return names
}

// owns returns what a profile says that is each machine's own.
func owns(p *object) []own {
	var all []own
	add := func(device, key, field string, says func(*fleet.Interface) bool, move, drop func(from, to *fleet.Interface)) {
		all = append(all, own{field: "network devices.*." + field, path: "interfaces." + pathKey(device) + "." + key,
			has: func(o *object) bool { n := o.device(device); return n != nil && says(n) },
			move: func(from, to *object) {
				if to.device(device) == nil {
					to.Interfaces = append(to.Interfaces, fleet.Interface{Name: device})
					slices.SortFunc(to.Interfaces, func(a, b fleet.Interface) int { return strings.Compare(a.Name, b.Name) })
				}
				move(from.device(device), to.device(device))
			},
			drop: func(o *object) { drop(nil, o.device(device)) },
		})
	}
	for _, i := range p.Interfaces {
		if i.MAC != (fleet.MAC{}) {
			add(i.Name, "mac", "hwaddr", func(i *fleet.Interface) bool { return i.MAC != fleet.MAC{} },
				func(from, to *fleet.Interface) { to.MAC = from.MAC }, func(_, to *fleet.Interface) { to.MAC = fleet.MAC{} })
		}
		if i.IP.IsValid() {
			add(i.Name, "ip", "ipaddr", func(i *fleet.Interface) bool { return i.IP.IsValid() },
				func(from, to *fleet.Interface) { to.IP = from.IP }, func(_, to *fleet.Interface) { to.IP = netip.Addr{} })
		}
		if i.IP6.IsValid() {
			add(i.Name, "ip6", "ipaddr6", func(i *fleet.Interface) bool { return i.IP6.IsValid() },
				func(from, to *fleet.Interface) { to.IP6 = from.IP6 }, func(_, to *fleet.Interface) { to.IP6 = netip.Addr{} })
		}
	}
	if p.BMC.Address.IsValid() {
		all = append(all, own{field: "ipmi.ipaddr", path: "bmc.address",
			has:  func(o *object) bool { return o.BMC.Address.IsValid() },
			move: func(from, to *object) { to.BMC.Address = from.BMC.Address },
			drop: func(o *object) { o.BMC.Address = netip.Addr{} }})
	}
	return all
}

// dropDuplicates takes addresses away that another node has. The first node by name keeps them.
func (r *reader) dropDuplicates() {
	macs, ips := map[fleet.MAC]string{}, map[netip.Addr]string{}
	for _, o := range r.allNodes() {
		say := func(path, field, what, holder string) {
			text := fmt.Sprintf("%s is also node %s's", what, holder)
			if holder == o.name {
				text = what + " is there twice"
			}
			r.note(Left, r.places[place{o.ref, path}], o.ref, field, text, "find out whose it is, and set it")
		}
		address := func(a *netip.Addr, path, field string) {
			if holder, taken := ips[*a]; a.IsValid() && taken {
				say(path, field, a.String(), holder)
				*a = netip.Addr{}
			}
			ips[*a] = o.name
		}
		for i := range o.Interfaces {
			n := &o.Interfaces[i]
			path := "interfaces." + pathKey(n.Name)
			if holder, taken := macs[n.MAC]; n.MAC != (fleet.MAC{}) && taken {
				say(path+".mac", "network devices.*.hwaddr", n.MAC.String(), holder)
				n.MAC = fleet.MAC{}
			}
			macs[n.MAC] = o.name
			address(&n.IP, path+".ip", "network devices.*.ipaddr")
			address(&n.IP6, path+".ip6", "network devices.*.ipaddr6")
		}
		address(&o.BMC.Address, "bmc.address", "ipmi.ipaddr")
	}
}

// domain returns the domain that all nodes have whose names have one, if they agree.
func (r *reader) domain() string {
	domain := ""
	for _, o := range r.allNodes() {
		label, rest, dotted := strings.Cut(strings.ToLower(o.was), ".")
		if !dotted || isRange(o.was) || label != o.name {
			continue
		}
		if domain != "" && domain != rest {
			return ""
		}
		domain = rest
	}
	if fleet.CheckDomain(domain) != nil {
		return ""
	}
	return domain
}
