package lab

import (
	"fmt"
	"net/netip"
)

// MaxNodes bounds the nodes of a network's racks.
const MaxNodes = 160

// uplink is the interface by which a rack is plugged into its network.
const uplink = "up0"

// A Rack is a switch of its own, with one cable to the bridge of its network.
type Rack struct {
	Namespace
	Network *Network
	ID      string // rack1, rack2, …
	Uplink  Link
}

// AddRack makes the rack of that number, from 1 to 250. It goes with its network.
func (n *Network) AddRack(number int) (*Rack, error) {
	id := fmt.Sprintf("rack%d", number)
	space, err := newNamespace(n.Name+hostMark+id, n.lasting)
	if err != nil {
		return nil, fmt.Errorf("rack %s: %w", id, err)
	}
	r := &Rack{Namespace: space, Network: n, ID: id}
	// With an address of its own the bridge does not change its address with every port.
	if err := r.ip("link", "add", Bridge, "address", fmt.Sprintf("02:77:00:00:01:%02x", number), "type", "bridge", "stp_state", "0"); err != nil {
		return nil, fmt.Errorf("rack %s: %w", id, err)
	}
	r.Uplink, err = plug(end{r.Namespace, uplink}, end{n.Namespace, id}, fmt.Sprintf("02:77:00:00:04:%02x", number))
	if err != nil {
		return nil, fmt.Errorf("rack %s: %w", id, err)
	}
	for _, args := range [][]string{
		{"link", "set", uplink, "master", Bridge, "up"},
		{"link", "set", Bridge, "up"},
	} {
		if err := r.ip(args...); err != nil {
			return nil, fmt.Errorf("rack %s: %w", id, err)
		}
	}
	return r, nil
}

// NodeAddress returns the address of a network's node of that number, from 1 to MaxNodes. They follow each other.
func NodeAddress(number int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, 0, byte(20 + number)})
}

// AddNode makes a host in the rack that stands for a node: number, from 1 to MaxNodes, is unique in the network. It goes
// with its network.
func (r *Rack) AddNode(number int) (*Host, error) {
	n := r.Network
	id := fmt.Sprintf("n%03d", number)
	h := &Host{Namespace: Namespace{n.Name + hostMark + id, n.lasting}, Network: n, ID: id, Address: NodeAddress(number), MAC: NodeMAC(number)}
	if err := h.furnish(r.Namespace); err != nil {
		return nil, fmt.Errorf("node %s: %w", id, err)
	}
	return h, nil
}

// NodeMAC returns the hardware address of a network's node of that number, from 1 to MaxNodes.
func NodeMAC(number int) string { return fmt.Sprintf("02:77:00:00:03:%02x", number) }
