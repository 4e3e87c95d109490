package fleet

import (
	"cmp"
	"fmt"
)

// An Object is one object of the configuration; exactly one of the first four fields is set.
type Object struct {
	Node    *Node            `json:"node,omitempty"`
	Profile *Profile         `json:"profile,omitempty"`
	Network *Network         `json:"network,omitempty"`
	Cluster *ClusterSettings `json:"cluster,omitempty"`

	// SecretsOf names the object of its kind whose secrets a node or profile takes where it is put without; "" is the one
	// that has its own name. So one can be renamed and copied by who cannot read them.
	SecretsOf string `json:"secrets_of,omitempty"`
}

// The kinds of objects of the configuration.
const (
	ObjectNode    = "node"
	ObjectProfile = "profile"
	ObjectNetwork = "network"
	ObjectCluster = "cluster" // of which there is one, without a name
)

// A Ref names one object of the configuration.
type Ref struct {
	Kind string `json:"kind"`           // node, profile, network or cluster
	Name string `json:"name,omitempty"` // none for the cluster
}

// String returns "node n1", or "cluster".
func (r Ref) String() string {
	if r.Name == "" {
		return r.Kind
	}
	return r.Kind + " " + r.Name
}

// Ref returns the name of o. The zero Ref is that of no object, or of several.
func (o Object) Ref() Ref {
	var refs []Ref
	if o.Node != nil {
		refs = append(refs, Ref{ObjectNode, o.Node.Name})
	}
	if o.Profile != nil {
		refs = append(refs, Ref{ObjectProfile, o.Profile.Name})
	}
	if o.Network != nil {
		refs = append(refs, Ref{ObjectNetwork, o.Network.Name})
	}
	if o.Cluster != nil {
		refs = append(refs, Ref{Kind: ObjectCluster})
	}
	if len(refs) != 1 {
		return Ref{}
	}
	return refs[0]
}

// Object returns the object of s with that name; false if there is none.
func (s State) Object(r Ref) (Object, bool) {
	switch r.Kind {
	case ObjectNode:
		n, ok := s.nodes.get([]byte(r.Name))
		return Object{Node: n}, ok
	case ObjectProfile:
		p, ok := s.profiles.get([]byte(r.Name))
		return Object{Profile: p}, ok
	case ObjectNetwork:
		n, ok := s.networks.get([]byte(r.Name))
		return Object{Network: n}, ok
	case ObjectCluster:
		if s.cluster == nil || r.Name != "" {
			return Object{}, false
		}
		c := s.cluster.Settings()
		return Object{Cluster: &c}, true
	}
	return Object{}, false
}

func (r Ref) check() error {
	switch r.Kind {
	case ObjectNode, ObjectNetwork:
		return CheckName(r.Kind, r.Name)
	case ObjectProfile:
		return CheckLabel(r.Kind, r.Name)
	}
	return fmt.Errorf("%w change: it deletes a %.40q; want node, profile or network", ErrInvalid, r.Kind)
}

// compare orders names by kind, then by name.
func (r Ref) compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, other.Kind), cmp.Compare(r.Name, other.Name))
}

// same reports whether two objects are of one kind and say the same.
func (o Object) same(other Object) bool {
	switch {
	case o.Ref() != other.Ref():
		return false
	case o.Node != nil:
		return o.Node.same(*other.Node)
	case o.Profile != nil:
		return o.Profile.same(*other.Profile)
	case o.Network != nil:
		return o.Network.same(*other.Network)
	}
	return o.Cluster == nil || o.Cluster.same(*other.Cluster)
}

// whole returns a copy of o that, when it is put, leaves nothing of what is there: not the secrets that o does not have.
func (o Object) whole() Object {
	if o.Node != nil {
		n := o.Node.clone()
		n.BMC.Password = append(Secret{}, n.BMC.Password...)
		o.Node = &n
	}
	if o.Profile != nil {
		p := o.Profile.clone()
		p.BMC.Password = append(Secret{}, p.BMC.Password...)
		o.Profile = &p
	}
	return o
}

// WithoutSecrets returns o without what may be written and not read.
func (o Object) WithoutSecrets() Object {
	if o.Node != nil {
		n := o.Node.WithoutSecrets()
		o.Node = &n
	}
	if o.Profile != nil {
		p := o.Profile.WithoutSecrets()
		o.Profile = &p
	}
	return o
}
