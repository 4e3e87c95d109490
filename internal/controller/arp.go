package controller

import (
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// arpLimit is where the kernel says how many IPv4 neighbours it keeps, of all interfaces together (arp(7)). It is 1,024
// unless somebody has changed it. Network namespaces other than the machine's own do not have the file.
const arpLimit = "/proc/sys/net/ipv4/neigh/default/gc_thresh3"

// crowded reports whether the kernel may be unable to hold the addresses of all nodes that are on this controller's own
// networks. Whoever finds no place in the table is not reached, and nothing but the kernel's log says why.
func crowded(state fleet.State) (api.Problem, bool) {
	text, err := os.ReadFile(arpLimit)
	if err != nil {
		return api.Problem{}, false
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return api.Problem{}, false
	}
	return crowd(neighboursIn(state, ownNetworks()), limit)
}

// ownNetworks returns the networks that this machine's interfaces are in.
func ownNetworks() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			own = append(own, p.Masked())
		}
	}
	return own
}

// neighboursIn counts the nodes' addresses that are in some of own.
func neighboursIn(state fleet.State, own []netip.Prefix) int {
	n := 0
	for node := range state.Nodes() {
		for _, i := range node.Interfaces {
			if i.IP.IsValid() && slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Contains(i.IP) }) {
				n++
			}
		}
	}
	return n
}

// crowd returns the problem of a table for limit neighbours of whom there are so many, if it is one: a quarter is left for
// what is no node.
func crowd(neighbours, limit int) (api.Problem, bool) {
	if 4*neighbours <= 3*limit {
		return api.Problem{}, false
	}
	enough := 1 << bits.Len(uint(2*neighbours))
	return api.Problem{
		What: fmt.Sprintf("the kernel keeps at most %d neighbours, and the addresses of %d nodes are on this controller's networks: some cannot be reached when all boot at once", limit, neighbours),
		Cure: fmt.Sprintf("sysctl -w net.ipv4.neigh.default.gc_thresh2=%d net.ipv4.neigh.default.gc_thresh3=%d, and the same in a file of /etc/sysctl.d", enough/2, enough),
	}, true
}
