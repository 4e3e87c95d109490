package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Port is the one interface that a host has in its network.
const Port = "eth0"

// hostMark separates a network's name from a host's in the name of the host's namespace.
const hostMark = "."

// HostAddress returns the address of a network's host of that number, from 1 to 9.
func HostAddress(number int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(number)}) }

// A Host is a head node, or a node of a rack: a network namespace with one interface, attached to a bridge. It receives
// what is broadcast there.
type Host struct {
	Namespace
	Network *Network
	ID      string // head1, head2, …; n001, n002, …
	Address netip.Addr
	MAC     string // of Port
	Link    Link   // between Port and the bridge
}

// Host returns the host of that number, from 1 to 9, which may not exist yet.
func (n *Network) Host(number int) *Host {
	id := fmt.Sprintf("head%d", number)
	h := &Host{Namespace: Namespace{n.Name + hostMark + id, n.lasting}, Network: n, ID: id, Address: HostAddress(number),
		MAC: fmt.Sprintf("02:77:00:00:02:%02x", number)}
	h.Link = Link{end{h.Namespace, Port}, end{n.Namespace, id}}
	return h
}

// AddHost makes the host of that number, from 1 to 9. It goes with its network.
func (n *Network) AddHost(number int) (*Host, error) {
	h := n.Host(number)
	if err := h.furnish(n.Namespace); err != nil {
		return nil, fmt.Errorf("host %s: %w", h.ID, err)
	}
	if err := h.steer(); err != nil {
		return nil, fmt.Errorf("host %s: %w", h.ID, err)
	}
	return h, nil
}

// furnish makes the host's namespace and plugs it into the bridge of another.
func (h *Host) furnish(at Namespace) error {
	if _, err := newNamespace(h.Name, h.lasting); err != nil {
		return err
	}
	link, err := plug(end{h.Namespace, Port}, end{at, h.ID}, h.MAC)
	if err != nil {
		return err
	}
	h.Link = link
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", netip.PrefixFrom(h.Address, Subnet.Bits()).String(), "brd", "+", "dev", Port},
		{"link", "set", Port, "up"},
	} {
		if err := h.ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// Cut drops every packet between h and everybody else that comes from or goes to a TCP port, whichever side has the
// port: established connections fall silent, new ones are not made in either direction.
func (h *Host) Cut(port uint16) error {
	p := strconv.Itoa(int(port))
	for _, side := range []string{"dport", "sport"} {
		for _, iif := range []string{Port, "lo"} { // received; made on this host
			if err := h.lose("iif", iif, "ipproto", "tcp", side, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ignore drops every packet that h receives from the others, those of established connections included. The other
// direction goes on, so that the fault is one-sided.
func (h *Host) Ignore(others ...*Host) error {
	for _, o := range others {
		if err := h.lose("iif", Port, "from", o.Address.String()); err != nil {
			return err
		}
	}
	return nil
}

// Heal undoes every Cut and Ignore of h.
func (h *Host) Heal() error { return h.loseNothing() }

// Part splits hosts: nothing passes between one side and the other, in either direction, until both sides heal.
func Part(one, other []*Host) error {
	var errs []error
	for _, h := range one {
		errs = append(errs, h.Ignore(other...))
	}
	for _, h := range other {
		errs = append(errs, h.Ignore(one...))
	}
	return errors.Join(errs...)
}
