package fleet

import (
	"fmt"
	"iter"
	"net/netip"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// A Revision is the Raft index of the entry that made a state. 0 is the empty state.
type Revision uint64

// A State is everything that a cluster has decided, at one revision. It is immutable: Apply returns a new one. The
// zero value is the empty state. Values handed out by its methods share memory with it and must not be modified.
type State struct {
	rev      Revision
	cluster  *Cluster
	nodes    tree[*Node]
	profiles tree[*Profile]
	images   tree[Image]
	networks tree[*Network]
	macs     tree[string] // 6 bytes of MAC to node name
	ips      tree[string] // 4 bytes of IPv4 or 16 of IPv6 to node name
	bmcs     tree[string] // 16 bytes of a BMC's address to node name
	armed    tree[string] // armedKey to node name
	users    tree[string] // userKey to node name
	tokens   tree[JoinToken]
	people   tree[*User] // by name
	outcomes outcomes
	history  history
	pending  *cell[Change] // what a command changes, the latest first, while it is applied; nil otherwise
	told     *UserChange   // what a command did to a user, while it is applied; nil otherwise
}

// Revision returns the index of the last entry that was applied, accepted or not.
func (s State) Revision() Revision { return s.rev }

// Cluster returns what holds for the whole cluster; false before the cluster was initialised.
func (s State) Cluster() (Cluster, bool) {
	if s.cluster == nil {
		return Cluster{}, false
	}
	return *s.cluster, true
}

// Node returns the node with that name as it was written, without what its profiles say: see Resolve.
func (s State) Node(name string) (Node, bool) { return found(s.nodes, name) }

// Nodes yields all nodes as they were written, by name.
func (s State) Nodes() iter.Seq[Node] { return values(s.nodes) }

// CountNodes returns how many nodes there are.
func (s State) CountNodes() int { return s.nodes.len() }

// Profile returns the profile with that name.
func (s State) Profile(name string) (Profile, bool) { return found(s.profiles, name) }

// Profiles yields all profiles, by name.
func (s State) Profiles() iter.Seq[Profile] { return values(s.profiles) }

// NodeByMAC returns the node that has an interface with that MAC.
func (s State) NodeByMAC(m MAC) (Node, bool) {
	name, ok := s.macs.get(m[:])
	if !ok {
		return Node{}, false
	}
	return s.Node(name)
}

// NodeByIP returns the node that has an interface with that address.
func (s State) NodeByIP(a netip.Addr) (Node, bool) {
	name, ok := s.ips.get(a.AsSlice())
	if !ok {
		return Node{}, false
	}
	return s.Node(name)
}

// Image returns the image with that name.
func (s State) Image(name string) (Image, bool) { return s.images.get([]byte(name)) }

// Images yields all images, by name.
func (s State) Images() iter.Seq[Image] { return s.images.all() }

// ImageVersion returns the image and the version of it that ref means.
func (s State) ImageVersion(ref ImageRef) (Image, ImageVersion, error) {
	img, ok := s.Image(ref.Name)
	if !ok {
		return Image{}, ImageVersion{}, fmt.Errorf("image %q: %w", ref.Name, ErrNotFound)
	}
	if ref.Version == 0 {
		return img, img.Latest(), nil
	}
	v, ok := img.Version(ref.Version)
	if !ok {
		return Image{}, ImageVersion{}, fmt.Errorf("image %q: version %d: %w; it has %s", ref.Name, ref.Version, ErrNotFound, img.numbers())
	}
	return img, v, nil
}

// Network returns the network with that name.
func (s State) Network(name string) (Network, bool) { return found(s.networks, name) }

// Networks yields all networks, by name.
func (s State) Networks() iter.Seq[Network] { return values(s.networks) }

// NetworkOf returns the network whose subnet contains a. Subnets never overlap.
func (s State) NetworkOf(a netip.Addr) (Network, bool) {
	for n := range s.Networks() {
		if n.Subnet.Contains(a) {
			return n, true
		}
	}
	return Network{}, false
}

// A tree is an immutable ordered map from keys to values; its zero value is empty.
type tree[T any] struct{ root *iradix.Tree[T] }

func (t tree[T]) get(key []byte) (T, bool) {
	if t.root == nil {
		var zero T
		return zero, false
	}
	return t.root.Get(key)
}

// found returns what a tree has under a name.
func found[T any](t tree[*T], name string) (T, bool) {
	if p, ok := t.get([]byte(name)); ok {
		return *p, true
	}
	var zero T
	return zero, false
}

// values yields what the pointers in a tree point to.
func values[T any](t tree[*T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for p := range t.all() {
			if !yield(*p) {
				return
			}
		}
	}
}

func (t tree[T]) put(key []byte, v T) tree[T] {
	root := t.root
	if root == nil {
		root = iradix.New[T]()
	}
	root, _, _ = root.Insert(key, v)
	return tree[T]{root}
}

func (t tree[T]) drop(key []byte) tree[T] {
	if t.root == nil {
		return t
	}
	root, _, _ := t.root.Delete(key)
	return tree[T]{root}
}

// next returns what has that key, or else the lowest one above it.
func (t tree[T]) next(key []byte) ([]byte, T, bool) {
	if t.root == nil {
		var zero T
		return nil, zero, false
	}
	it := t.root.Root().Iterator()
	it.SeekLowerBound(key)
	return it.Next()
}

// under yields what has a key with that prefix, by key.
func (t tree[T]) under(prefix []byte) iter.Seq[T] {
	return func(yield func(T) bool) {
		if t.root == nil {
			return
		}
		it := t.root.Root().Iterator()
		it.SeekPrefix(prefix)
		for _, v, ok := it.Next(); ok; _, v, ok = it.Next() {
			if !yield(v) {
				return
			}
		}
	}
}

func (t tree[T]) len() int {
	if t.root == nil {
		return 0
	}
	return t.root.Len()
}

func (t tree[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		if t.root == nil {
			return
		}
		it := t.root.Root().Iterator()
		for _, v, ok := it.Next(); ok; _, v, ok = it.Next() {
			if !yield(v) {
				return
			}
		}
	}
}
