package fleet

import (
	"fmt"
	"net/netip"
	"slices"
)

// AddNodes creates nodes, all or none.
type AddNodes struct {
	Nodes []Node `json:"nodes"`
}

// Kind implements Command.
func (AddNodes) Kind() string { return "node.add" }

func (c AddNodes) needs() int {
	need := 1
	for _, n := range c.Nodes {
		need = max(need, n.needs())
	}
	return need
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
		n = n.clone()
		n.BMC.keepSecrets(BMC{})
		if next, err = next.putNode(n, a.rev); err != nil {
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
		next = next.deleteNode(n)
	}
	return next, nil
}
