package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// AddNodes creates nodes, all or none.
type AddNodes struct {
	Nodes []Node `json:"nodes"`
}

// Kind implements Command.
func (AddNodes) Kind() string { return "node.add" }

func (c AddNodes) needs() int {
	if slices.ContainsFunc(c.Nodes, func(n Node) bool { return !n.Discover.IsZero() }) {
		return 2
	}
	return 1
}

func (c AddNodes) apply(s State, a applied) (State, error) {
	if len(c.Nodes) == 0 {
		return s, fmt.Errorf("%w change: it names no node", ErrInvalid)
	}
	next := s
	for _, n := range c.Nodes {
		if _, exists := next.Node(n.Name); exists {
			return s, fmt.Errorf("node %s: %w", n.Name, ErrExists)
		}
		if !n.Discover.IsZero() {
			return s, fmt.Errorf("%w node %s: a new node is not armed yet; samara node discover %s", ErrInvalid, n.Name, n.Name)
		}
		var err error
		if next, err = next.putNode(n.clone(), a.rev); err != nil {
			return s, err
		}
	}
	return next, nil
}

// SetNodes changes nodes, all or none. Nil fields stay as they are.
type SetNodes struct {
	Names      []string       `json:"names"`
	Image      *ImageRef      `json:"image,omitempty"`
	KernelArgs *[]string      `json:"kernel_args,omitempty"`
	Rack       *string        `json:"rack,omitempty"`
	Interfaces []SetInterface `json:"interfaces,omitempty"`
}

// SetInterface changes or creates one interface of one node. Nil fields stay as they are.
type SetInterface struct {
	Node string      `json:"node"` // one of the names in SetNodes
	Name string      `json:"name"`
	MAC  *MAC        `json:"mac,omitempty"`
	IP   *netip.Addr `json:"ip,omitempty"`
	Drop bool        `json:"drop,omitempty"` // remove the interface
}

// Kind implements Command.
func (SetNodes) Kind() string { return "node.set" }

func (c SetNodes) apply(s State, a applied) (State, error) {
	if len(c.Names) == 0 {
		return s, fmt.Errorf("%w change: it names no node", ErrInvalid)
	}
	moves := c.moves()
	next := s
	// Addresses first leave all the nodes that change them, so that two nodes can swap.
	changed := make(map[string]Node, len(c.Names))
	for _, name := range c.Names {
		n, ok := s.Node(name)
		if !ok {
			return s, fmt.Errorf("node %s: %w", name, ErrNotFound)
		}
		if moves[name] {
			next = next.disarm(n).dropAddresses(n)
		}
		n = n.clone()
		if c.Image != nil {
			n.Image = *c.Image
		}
		if c.KernelArgs != nil {
			n.KernelArgs = slices.Clone(*c.KernelArgs)
		}
		if c.Rack != nil {
			n.Rack = *c.Rack
		}
		changed[name] = n
	}
	for _, set := range c.Interfaces {
		n, ok := changed[set.Node]
		if !ok {
			return s, fmt.Errorf("%w change: interface %s of %s, which the change does not name", ErrInvalid, set.Name, set.Node)
		}
		n, err := set.apply(n)
		if err != nil {
			return s, err
		}
		changed[set.Node] = n
	}
	for _, name := range c.Names {
		var err error
		if moves[name] {
			next, err = next.putNode(changed[name], a.rev)
		} else {
			next, err = next.putSettings(changed[name], a.rev)
		}
		if err != nil {
			return s, err
		}
	}
	return next, nil
}

// moves returns the nodes that may change their addresses. A node that is named twice counts as one: with addresses of
// its own it is in its own way, which is a refusal that older releases give.
func (c SetNodes) moves() map[string]bool {
	moves := map[string]bool{}
	for _, set := range c.Interfaces {
		moves[set.Node] = true
	}
	seen := make(map[string]bool, len(c.Names))
	for _, name := range c.Names {
		if seen[name] {
			moves[name] = true
		}
		seen[name] = true
	}
	return moves
}

func (set SetInterface) apply(n Node) (Node, error) {
	at := slices.IndexFunc(n.Interfaces, func(i Interface) bool { return i.Name == set.Name })
	if set.Drop {
		if at < 0 {
			return n, fmt.Errorf("node %s: interface %s: %w", n.Name, set.Name, ErrNotFound)
		}
		n.Interfaces = slices.Delete(n.Interfaces, at, at+1)
		return n, nil
	}
	if at < 0 {
		n.Interfaces = append(n.Interfaces, Interface{Name: set.Name})
		at = len(n.Interfaces) - 1
	}
	if set.MAC != nil {
		n.Interfaces[at].MAC = *set.MAC
	}
	if set.IP != nil {
		n.Interfaces[at].IP = *set.IP
	}
	return n, nil
}

// DeleteNodes removes nodes, all or none.
type DeleteNodes struct {
	Names []string `json:"names"`
}

// Kind implements Command.
func (DeleteNodes) Kind() string { return "node.delete" }

func (c DeleteNodes) apply(s State, _ applied) (State, error) {
	if len(c.Names) == 0 {
		return s, fmt.Errorf("%w change: it names no node", ErrInvalid)
	}
	next := s
	for _, name := range c.Names {
		n, ok := next.Node(name)
		if !ok {
			return s, fmt.Errorf("node %s: %w", name, ErrNotFound)
		}
		next = next.disarm(n).dropAddresses(n)
		next.nodes = next.nodes.drop([]byte(name))
	}
	return next, nil
}

// putNode checks n against the rest of the state and stores it. What the indexes held of the node must have been
// dropped. A node that no machine can claim is not armed.
func (s State) putNode(n Node, rev Revision) (State, error) {
	if err := s.checkSettings(n); err != nil {
		return s, err
	}
	for at, i := range n.Interfaces {
		if err := s.checkAddresses(i); err != nil {
			return s, fmt.Errorf("node %s: interface %s: %w", n.Name, i.Name, err)
		}
		for _, other := range n.Interfaces[:at] {
			if (i.MAC != (MAC{}) && i.MAC == other.MAC) || (i.IP.IsValid() && i.IP == other.IP) {
				return s, fmt.Errorf("%w node %s: interfaces %s and %s have one address", ErrInvalid, n.Name, other.Name, i.Name)
			}
		}
	}
	if !n.claimable() {
		n.Discover = time.Time{}
	}
	return s.indexAddresses(n).arm(n).storeNode(n, rev), nil
}

// putSettings is putNode for a node whose interfaces are as they were: what the indexes hold of it stays.
func (s State) putSettings(n Node, rev Revision) (State, error) {
	if err := s.checkSettings(n); err != nil {
		return s, err
	}
	return s.storeNode(n, rev), nil
}

// checkSettings validates what of n does not depend on other nodes.
func (s State) checkSettings(n Node) error {
	if err := n.check(); err != nil {
		return err
	}
	if n.Image.IsZero() {
		return nil
	}
	if _, _, err := s.ImageVersion(n.Image); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return nil
}

func (s State) storeNode(n Node, rev Revision) State {
	n.Revision = rev
	s.nodes = s.nodes.put([]byte(n.Name), &n)
	return s
}

// checkAddresses reports why an interface cannot have its addresses, given what other nodes and the networks have.
func (s State) checkAddresses(i Interface) error {
	if holder, taken := s.macs.get(i.MAC[:]); taken && i.MAC != (MAC{}) {
		return fmt.Errorf("MAC %s %w: node %s has it", i.MAC, ErrExists, holder)
	}
	if !i.IP.IsValid() {
		return nil
	}
	if !i.IP.Is4() {
		return fmt.Errorf("%w address %s: want IPv4", ErrInvalid, i.IP)
	}
	if holder, taken := s.ips.get(i.IP.AsSlice()); taken {
		return fmt.Errorf("address %s %w: node %s has it", i.IP, ErrExists, holder)
	}
	network, ok := s.NetworkOf(i.IP)
	if !ok {
		return fmt.Errorf("%w address %s: in no network; samara network list shows them", ErrInvalid, i.IP)
	}
	return s.checkHostAddress(network, i.IP)
}

// indexAddresses records the addresses of n.
func (s State) indexAddresses(n Node) State {
	for _, i := range n.Interfaces {
		if i.MAC != (MAC{}) {
			s.macs = s.macs.put(i.MAC[:], n.Name)
		}
		if i.IP.IsValid() {
			s.ips = s.ips.put(i.IP.AsSlice(), n.Name)
		}
	}
	return s
}

// checkHostAddress reports why a node on network n cannot have the address a.
func (s State) checkHostAddress(n Network, a netip.Addr) error {
	if err := n.CheckHost(a); err != nil {
		return err
	}
	if a == n.Gateway {
		return fmt.Errorf("%w address %s: the gateway of network %s", ErrInvalid, a, n.Name)
	}
	if n.Discovery.Contains(a) {
		return fmt.Errorf("%w address %s: inside the discovery pool %s of network %s", ErrInvalid, a, n.Discovery, n.Name)
	}
	if s.cluster != nil {
		for _, ctl := range s.cluster.Controllers {
			if ctl.Address == a {
				return fmt.Errorf("%w address %s: controller %s has it", ErrInvalid, a, ctl.ID)
			}
		}
	}
	return nil
}

// dropAddresses frees the addresses of n.
func (s State) dropAddresses(n Node) State {
	for _, i := range n.Interfaces {
		if i.MAC != (MAC{}) {
			s.macs = s.macs.drop(i.MAC[:])
		}
		if i.IP.IsValid() {
			s.ips = s.ips.drop(i.IP.AsSlice())
		}
	}
	return s
}
