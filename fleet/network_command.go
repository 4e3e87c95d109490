package fleet

import (
	"fmt"
	"slices"
)

// PutNetwork creates a network, or replaces the one with its name.
type PutNetwork struct {
	Network Network `json:"network"`
	Create  bool    `json:"create,omitempty"` // refuse if it exists; otherwise refuse if it does not
}

// Kind implements Command.
func (PutNetwork) Kind() string { return "network.put" }

func (c PutNetwork) apply(s State, a applied) (State, error) {
	n := c.Network
	if err := n.check(); err != nil {
		return s, err
	}
	_, exists := s.Network(n.Name)
	switch {
	case exists && c.Create:
		return s, fmt.Errorf("network %s: %w", n.Name, ErrExists)
	case !exists && !c.Create:
		return s, fmt.Errorf("network %s: %w", n.Name, ErrNotFound)
	}
	if err := s.checkNetwork(n); err != nil {
		return s, err
	}
	old, _ := s.Network(n.Name)
	next := s.storeNetwork(n, a.rev)
	if !exists {
		return next, nil
	}
	for node := range s.Nodes() {
		for _, i := range node.Interfaces {
			if !i.IP.IsValid() || !old.Subnet.Contains(i.IP) {
				continue
			}
			if err := next.checkHostAddress(n, i.IP); err != nil {
				return s, fmt.Errorf("network %s: node %s would not fit: %w", n.Name, node.Name, err)
			}
		}
	}
	for node := range next.ResolveAll() {
		if err := next.checkResolved(node); err != nil {
			return s, fmt.Errorf("network %s: %w", n.Name, err)
		}
	}
	return next, nil
}

// checkNetwork validates n against the rest of the state.
func (s State) checkNetwork(n Network) error {
	for other := range s.Networks() {
		if other.Name != n.Name && other.Subnet.Overlaps(n.Subnet) {
			return fmt.Errorf("%w subnet %s of network %s: overlaps network %s (%s)", ErrInvalid, n.Subnet, n.Name, other.Name, other.Subnet)
		}
	}
	if s.cluster != nil && !n.Discovery.IsZero() {
		for _, ctl := range s.cluster.Controllers {
			if n.Discovery.Contains(ctl.Address) {
				return fmt.Errorf("%w discovery pool %s of network %s: contains controller %s (%s)", ErrInvalid, n.Discovery, n.Name, ctl.ID, ctl.Address)
			}
		}
	}
	return nil
}

func (s State) storeNetwork(n Network, rev Revision) State {
	n.DNS = slices.Clone(n.DNS)
	n.Revision = rev
	s = s.note(Ref{ObjectNetwork, n.Name})
	s.networks = s.networks.put([]byte(n.Name), &n)
	return s
}

func (s State) deleteNetwork(name string) State {
	s = s.note(Ref{ObjectNetwork, name})
	s.networks = s.networks.drop([]byte(name))
	return s
}

// DeleteNetwork removes a network on which no node has an address.
type DeleteNetwork struct {
	Name string `json:"name"`
}

// Kind implements Command.
func (DeleteNetwork) Kind() string { return "network.delete" }

func (c DeleteNetwork) apply(s State, _ applied) (State, error) {
	n, ok := s.Network(c.Name)
	if !ok {
		return s, fmt.Errorf("network %s: %w", c.Name, ErrNotFound)
	}
	if users := s.nodesWhere(func(node Node) bool {
		return slices.ContainsFunc(node.Interfaces, func(i Interface) bool { return i.IP.IsValid() && n.Subnet.Contains(i.IP) })
	}); len(users) > 0 {
		return s, fmt.Errorf("network %s: %w by %s", c.Name, ErrInUse, s.nameUsers(users))
	}
	return s.deleteNetwork(c.Name), nil
}
