// Package config reads and writes the configuration of a cluster as YAML documents: nodes, the profiles they share,
// networks, and what holds for the whole cluster.
//
// A document has the form of Warewulf's nodes.conf, with two sections more:
//
//	nodeprofiles:
//	  default:
//	    image name: rocky-9
//	    kernel: {args: [quiet, console=ttyS0]}
//	nodes:
//	  n[001-100]:                 # every node of the range; addresses are counted up
//	    profiles: [default]
//	    network devices:
//	      default: {ipaddr: 10.1.0.1, netmask: 255.255.0.0}
//	networks:
//	  boot: {subnet: 10.1.0.0/16, dhcp: full}
//	cluster:
//	  authorized_keys: [ssh-ed25519 AAAA… root@head]
//
// Keys are those of fleet.Fields: Warewulf's name where there is one, else the path in JSON. Either is read, and "_" in
// the place of a blank; Encode writes the first. Each object stands in one place: what a file says of a node is all that
// the node says itself.
package config

import (
	"slices"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// MaxSize bounds the bytes of all files of one Parse together.
const MaxSize = 64 << 20

// A File is one file of YAML documents.
type File struct {
	Name string // as messages call it
	Data []byte
}

// A Position is a place in a file. Lines and columns count from 1, columns in characters.
type Position struct {
	File         string
	Line, Column int
}

// Documents are what files say: objects as a whole, each name of a kind once, in the order of hostlist.Compare. Parts
// of an object that have names are in the order of names.
type Documents struct {
	Nodes    []fleet.Node
	Profiles []fleet.Profile
	Networks []fleet.Network
	Cluster  *fleet.ClusterSettings // nil: the files say nothing of it

	places places
}

// Edit returns the change that puts all objects of d.
func (d Documents) Edit() fleet.Edit {
	var e fleet.Edit
	for i := range d.Profiles {
		e.Puts = append(e.Puts, fleet.Object{Profile: &d.Profiles[i]})
	}
	for i := range d.Networks {
		e.Puts = append(e.Puts, fleet.Object{Network: &d.Networks[i]})
	}
	if d.Cluster != nil {
		e.Puts = append(e.Puts, fleet.Object{Cluster: d.Cluster})
	}
	for i := range d.Nodes {
		e.Puts = append(e.Puts, fleet.Object{Node: &d.Nodes[i]})
	}
	return e
}

// sort puts objects into the order of names.
func (d *Documents) sort() {
	slices.SortFunc(d.Nodes, func(a, b fleet.Node) int { return hostlist.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Profiles, func(a, b fleet.Profile) int { return hostlist.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Networks, func(a, b fleet.Network) int { return hostlist.Compare(a.Name, b.Name) })
}
