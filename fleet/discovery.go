package fleet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/samara-hpc/samara/fleet/hostlist"
)

// maxYear bounds times that a user chooses, so that they fit an index.
const maxYear = 2200

// stamp writes a time for a message.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ArmDiscovery lets unknown machines claim nodes until a time, all or none of those named. A node can be armed if it
// has an interface with an address and without a MAC.
type ArmDiscovery struct {
	Names []string  `json:"names"`
	Until time.Time `json:"until,omitzero"` // zero: no longer
}

// Kind implements Command.
func (ArmDiscovery) Kind() string { return "discovery.arm" }

func (c ArmDiscovery) apply(s State, a applied) (State, error) {
	if len(c.Names) == 0 {
		return s, fmt.Errorf("%w change: it names no node", ErrInvalid)
	}
	until := c.Until.UTC().Round(0)
	if !until.IsZero() && (!until.After(a.at) || until.Unix() <= 0 || until.Year() > maxYear) {
		return s, fmt.Errorf("%w discovery until %s: want a time after %s", ErrInvalid, stamp(until), stamp(a.at))
	}
	next := s
	for _, name := range c.Names {
		n, ok := next.Node(name)
		if !ok {
			return s, fmt.Errorf("node %s: %w", name, ErrNotFound)
		}
		if !until.IsZero() && !n.claimable() {
			return s, fmt.Errorf("%w node %s: it has no interface with an address and without a MAC, which a machine could claim", ErrInvalid, name)
		}
		if n.Discover.Equal(until) {
			continue
		}
		next = next.disarm(n)
		n.Discover = until
		next = next.arm(n).storeNode(n, a.rev)
	}
	return next, nil
}

// ClaimNode gives a machine the first armed node, in the order of hostlist.Compare, that has an interface with an
// address on the network and without a MAC: the first such interface gets the machine's, and the node is no longer
// armed. The error is ErrExists if a node has the MAC, and ErrNotFound if no node is armed there.
type ClaimNode struct {
	MAC     MAC    `json:"mac"`
	Network string `json:"network"`
}

// Kind implements Command.
func (ClaimNode) Kind() string { return "discovery.claim" }

func (c ClaimNode) apply(s State, a applied) (State, error) {
	if c.MAC == (MAC{}) || c.MAC[0]&1 != 0 {
		return s, fmt.Errorf("%w MAC address %q: no machine can have it", ErrInvalid, c.MAC)
	}
	network, ok := s.Network(c.Network)
	if !ok {
		return s, fmt.Errorf("network %q: %w", c.Network, ErrNotFound)
	}
	if holder, ok := s.NodeByMAC(c.MAC); ok {
		return s, fmt.Errorf("MAC %s %w: node %s has it", c.MAC, ErrExists, holder.Name)
	}
	name, ok := s.firstArmed(c.Network, a.at)
	if !ok {
		return s, fmt.Errorf("armed node on network %s: %w; samara node discover arms some", c.Network, ErrNotFound)
	}
	n, _ := s.Node(name)
	s = s.disarm(n)
	n = n.clone()
	for at, i := range n.Interfaces {
		if i.claimable() && network.Subnet.Contains(i.IP) {
			n.Interfaces[at].MAC = c.MAC
			s.macs = s.macs.put(c.MAC[:], name)
			break
		}
	}
	n.Discover = time.Time{}
	return s.storeNode(n, a.rev), nil
}

// Armed reports whether a machine on that network could claim a node at that time. It costs one look into an index.
func (s State) Armed(network string, at time.Time) bool {
	key, _, _ := s.armed.next(armedPrefix(network))
	until, _, ok := cutArmedKey(key, network)
	return ok && at.Before(until)
}

// claimable reports whether a machine could claim i.
func (i Interface) claimable() bool { return i.MAC == (MAC{}) && i.IP.IsValid() }

// claimable reports whether a machine could claim an interface of n.
func (n Node) claimable() bool {
	for _, i := range n.Interfaces {
		if i.claimable() {
			return true
		}
	}
	return false
}

// Keys of the index of armed nodes are: the network's name, 0, the complement of the time until which the node is
// armed, the node's name as hostlist orders names. So a network's nodes are together, those armed longest come first,
// and those of one time, which are usually armed by one command, are in the order in which they are to be claimed.

func armedPrefix(network string) []byte { return append([]byte(network), 0) }

func armedKey(network string, until time.Time, node string) []byte {
	key := binary.BigEndian.AppendUint64(armedPrefix(network), ^uint64(until.UnixNano()))
	return hostlist.AppendKey(key, node)
}

// cutArmedKey returns the time and the ordered name in a key of that network; false if it is another's.
func cutArmedKey(key []byte, network string) (until time.Time, name []byte, ok bool) {
	rest, ok := bytes.CutPrefix(key, armedPrefix(network))
	if !ok {
		return time.Time{}, nil, false
	}
	return time.Unix(0, int64(^binary.BigEndian.Uint64(rest))).UTC(), rest[8:], true
}

// firstArmed returns the node that the next machine on that network claims. It looks at one node for each of the times
// that armed nodes of the network have and that lie after at.
func (s State) firstArmed(network string, at time.Time) (string, bool) {
	var first []byte
	var found string
	for from := armedPrefix(network); ; {
		key, node, _ := s.armed.next(from)
		until, name, ok := cutArmedKey(key, network)
		if !ok || !at.Before(until) {
			return found, found != ""
		}
		if found == "" || bytes.Compare(name, first) < 0 {
			first, found = name, node
		}
		from = binary.BigEndian.AppendUint64(armedPrefix(network), ^uint64(until.UnixNano())+1) // past all of that time
	}
}

// arm records in the index that n is armed, if it is.
func (s State) arm(n Node) State {
	for _, key := range s.armedKeys(n) {
		s.armed = s.armed.put(key, n.Name)
	}
	return s
}

// disarm undoes what arm did for n.
func (s State) disarm(n Node) State {
	for _, key := range s.armedKeys(n) {
		s.armed = s.armed.drop(key)
	}
	return s
}

// armedKeys returns the keys of n in the index of armed nodes: one for each network on which it can be claimed. They
// hold as long as n is as it is: a network does not let go of an address that a node has.
func (s State) armedKeys(n Node) [][]byte {
	if n.Discover.IsZero() {
		return nil
	}
	var keys [][]byte
	for _, i := range n.Interfaces {
		if !i.claimable() {
			continue
		}
		if network, ok := s.NetworkOf(i.IP); ok {
			keys = append(keys, armedKey(network.Name, n.Discover, n.Name))
		}
	}
	return keys
}
