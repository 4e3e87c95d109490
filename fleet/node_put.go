package fleet

import (
	"fmt"
	"time"
)

// putNode checks n against the rest of the state and stores it. What the indexes held of the node must have been
// dropped. A node that no machine can claim is not armed.
func (s State) putNode(n Node, rev Revision) (State, error) {
	if err := s.checkSettings(n); err != nil {
		return s, err
	}
	if err := s.checkMoved(n); err != nil {
		return s, err
	}
	if err := s.checkResolved(s.resolve(n)); err != nil {
		return s, err
	}
	if !n.claimable() {
		n.Discover = time.Time{}
	}
	return s.indexAddresses(n).indexUser(n).arm(n).storeNode(n, rev), nil
}

// putSettings is putNode for a node whose interfaces are as they were: what the indexes hold of it stays.
func (s State) putSettings(n Node, rev Revision) (State, error) {
	if err := s.checkSettings(n); err != nil {
		return s, err
	}
	if err := s.checkResolved(s.resolve(n)); err != nil {
		return s, err
	}
	return s.storeNode(n, rev), nil
}

// checkSettings validates what of n does not depend on other nodes.
func (s State) checkSettings(n Node) error {
	if err := n.check(); err != nil {
		return err
	}
	if !n.Image.IsZero() {
		if _, _, err := s.ImageVersion(n.Image); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return s.checkProfiles("node", n.Name, n.Profiles)
}

func (s State) storeNode(n Node, rev Revision) State {
	n.Revision = rev
	s = s.note(Ref{ObjectNode, n.Name})
	s.nodes = s.nodes.put([]byte(n.Name), &n)
	return s
}

// deleteNode takes n out of s and its indexes.
func (s State) deleteNode(n Node) State {
	s = s.note(Ref{ObjectNode, n.Name}).disarm(n).dropAddresses(n).dropUser(n)
	s.nodes = s.nodes.drop([]byte(n.Name))
	return s
}
