package warewulf

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// ofBMC are endings of host names that people give to the BMC of a machine.
var ofBMC = []string{"bmc", "ipmi", "ilo", "idrac", "drac", "imm", "oob"}

// ReadHosts reads nodes of a file in the form of /etc/hosts: of each line the address and the first name. A name such as
// n1-ib0, where n1 has a line too, is another device of n1; one such as n1-bmc or n1-ipmi is its BMC. If only is not empty,
// all other names are passed over. The error says which line is wrong.
func ReadHosts(file string, data []byte, only []string) (Site, error) {
	r := newReader()
	r.file = file
	type host struct {
		name string
		ip   netip.Addr
		line int
	}
	var hosts []host
	known := map[string]bool{}
	wanted := map[string]bool{}
	for _, n := range only {
		wanted[n] = true
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for line := 1; lines.Scan(); line++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		a, err := netip.ParseAddr(words[0])
		if err != nil || len(words) < 2 {
			return Site{}, fmt.Errorf("%s:%d: want an address and names", file, line)
		}
		if a = a.Unmap(); a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a.IsLinkLocalUnicast() {
			continue
		}
		label, _, _ := strings.Cut(strings.ToLower(words[1]), ".")
		hosts = append(hosts, host{label, a, line})
		known[label] = true
		if len(hosts) > maxNodes {
			return Site{}, fmt.Errorf("%s:%d: more than %d hosts", file, line, maxNodes)
		}
	}
	if err := lines.Err(); err != nil {
		return Site{}, fmt.Errorf("%s: %w", file, err)
	}
	for _, h := range hosts {
		node, device := h.name, "default"
		if at := strings.LastIndexByte(h.name, '-'); at > 0 && known[h.name[:at]] {
			node, device = h.name[:at], h.name[at+1:]
		}
		if len(only) > 0 && !wanted[node] {
			continue
		}
		r.addHost(ref{fleet.ObjectNode, node}, device, h.ip, h.line)
	}
	site := Site{Report: r.report(), places: r.positions(file)}
	for _, o := range sorted(r.nodes) {
		site.Documents.Nodes = append(site.Documents.Nodes, o.node())
	}
	return site, nil
}

// addHost gives a node the address of one line.
func (r *reader) addHost(of ref, device string, a netip.Addr, line int) {
	if err := fleet.CheckName("node", of.name); err != nil {
		r.note(Left, line, ref{}, "name", reason(err), "give the machine another name")
		return
	}
	o := r.nodes[of.name]
	if o == nil {
		o = &object{ref: of, line: line, was: of.name}
		r.nodes[of.name] = o
		r.places[place{of, ""}] = line
	}
	if slices.Contains(ofBMC, device) {
		if o.BMC.Address.IsValid() {
			r.note(Left, line, of, "address", "a second address of its BMC", "one is taken, the first")
			return
		}
		o.BMC.Address = a
		r.places[place{of, "bmc.address"}] = line
		r.note(Taken, line, of, "address", "bmc.address", "")
		return
	}
	n := o.ensure(device)
	to, field := &n.IP, "ip"
	if !a.Is4() {
		to, field = &n.IP6, "ip6"
	}
	if to.IsValid() {
		r.note(Left, line, of, "address", fmt.Sprintf("a second address of the node, %s", a), "give it a name of its own, such as "+of.name+"-ib0")
		return
	}
	*to = a
	r.places[place{of, "interfaces." + pathKey(device) + "." + field}] = line
	r.note(Taken, line, of, "address", "interfaces.*."+field, "")
}
