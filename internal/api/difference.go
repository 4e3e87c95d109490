package api

import (
	"slices"

	"github.com/samara-hpc/samara/fleet"
)

// A Change is the answer to a request that changes something.
type Change struct {
	Revision fleet.Revision `json:"revision"` // at which the change holds; with DryRun, that it was computed at
	DryRun   bool           `json:"dry_run,omitempty"`
	Changed  []Difference   `json:"changed"`           // nothing if all was so already
	Effects  []Effect       `json:"effects,omitempty"` // what becomes of nodes whose own words do not tell it
}

// A Difference says how one object differs after a change, as it was written.
type Difference struct {
	Kind   string  `json:"kind"`   // node, profile, image, network, cluster, controller, user
	Name   string  `json:"name"`   // of the object
	Action string  `json:"action"` // add, set, delete
	Fields []Field `json:"fields,omitempty"`
}

// A Field is one field of an object before and after a change, as text. Was is "" for what was not there, Is is "" for
// what is no more. Of a secret only that it changes is told.
type Field struct {
	Name  string `json:"name"`
	Was   string `json:"was,omitempty"`
	Is    string `json:"is,omitempty"`
	Needs string `json:"needs,omitempty"` // for a node that runs: refresh or reboot; "" if it is so at once, or concerns no node
}

// differences lists how the objects that c names differ between two states, and what becomes of nodes by it.
func (by comparer) differences(before, after fleet.State, c fleet.Command) ([]Difference, []Effect) {
	nodes := func(names []string) ([]Difference, []Effect) {
		all := compareAll("node", names, before.Node, after.Node, by.nodes)
		return all, by.effects(before, after, all)
	}
	switch c := c.(type) {
	case fleet.AddNodes:
		names := make([]string, len(c.Nodes))
		for i, n := range c.Nodes {
			names[i] = n.Name
		}
		return nodes(names)
	case fleet.SetNodes:
		return nodes(c.Names)
	case fleet.DeleteNodes:
		return nodes(c.Names)
	case fleet.ArmDiscovery:
		return nodes(c.Names)
	case fleet.PutNetwork:
		return compareAll("network", []string{c.Network.Name}, before.Network, after.Network, asJSON), nil
	case fleet.DeleteNetwork:
		return compareAll("network", []string{c.Name}, before.Network, after.Network, asJSON), nil
	case fleet.DeleteImage:
		return []Difference{{Kind: "image", Name: fleet.ImageRef{Name: c.Image, Version: c.Version}.String(), Action: "delete"}}, nil
	case fleet.DeleteUser:
		return []Difference{{Kind: "user", Name: c.Name, Action: "delete"}}, nil
	case fleet.SetCluster:
		return compareClusters(before, after), nil
	case fleet.RemoveController:
		return compareControllers(before, after), nil
	}
	all := changesBetween(before, after)
	return all, by.effects(before, after, all)
}

// changesBetween lists how all objects differ between two states, whatever lies between them. An object that has kept
// its revision has not changed, and is not looked into.
func changesBetween(before, after fleet.State) []Difference {
	by := newComparer()
	out := compareClusters(before, after)
	out = append(out, compareControllers(before, after)...)
	names := changedNames(before.Networks(), after.Networks(), func(n fleet.Network) (string, fleet.Revision) { return n.Name, n.Revision })
	out = append(out, compareAll("network", names, before.Network, after.Network, asJSON)...)
	names = changedNames(before.Images(), after.Images(), func(i fleet.Image) (string, fleet.Revision) { return i.Name, i.Revision })
	for _, name := range names {
		out = append(out, compareVersions(name, before, after)...)
	}
	names = changedNames(before.Profiles(), after.Profiles(), func(p fleet.Profile) (string, fleet.Revision) { return p.Name, p.Revision })
	out = append(out, compareAll("profile", names, before.Profile, after.Profile, by.profiles)...)
	names = changedNames(before.Nodes(), after.Nodes(), func(n fleet.Node) (string, fleet.Revision) { return n.Name, n.Revision })
	return append(out, compareAll("node", names, before.Node, after.Node, by.nodes)...)
}

// compareClusters compares what people may see of the cluster, without its controllers.
func compareClusters(before, after fleet.State) []Difference {
	one := func(s fleet.State) func(string) (ClusterView, bool) {
		return func(string) (ClusterView, bool) {
			c, ok := s.Cluster()
			c.Controllers = nil
			return viewCluster(c), ok
		}
	}
	was, _ := before.Cluster()
	is, ok := after.Cluster()
	name := is.Name
	if !ok {
		name = was.Name
	}
	return compareAll("cluster", []string{name}, one(before), one(after), asJSON)
}

// compareControllers compares the controllers of the cluster.
func compareControllers(before, after fleet.State) []Difference {
	was, _ := before.Cluster()
	is, _ := after.Cluster()
	if was.Revision == is.Revision {
		return []Difference{}
	}
	var ids []string
	for _, c := range slices.Concat(was.Controllers, is.Controllers) {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	one := func(c fleet.Cluster) func(string) (fleet.Controller, bool) {
		return func(id string) (fleet.Controller, bool) {
			ctl, ok := c.Controller(id)
			ctl.ID = "" // the name of the difference says it
			return ctl, ok
		}
	}
	return compareAll("controller", slices.Compact(ids), one(was), one(is), asJSON)
}

// compareVersions compares the versions of one image. An image that is gone is one difference.
func compareVersions(image string, before, after fleet.State) []Difference {
	was, _ := before.Image(image)
	is, left := after.Image(image)
	if !left {
		return []Difference{{Kind: "image", Name: image, Action: "delete"}}
	}
	var refs []string
	for _, v := range slices.Concat(was.Versions, is.Versions) {
		ref := fleet.ImageRef{Name: image, Version: v.Number}.String()
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	one := func(s fleet.State) func(string) (fleet.ImageVersion, bool) {
		return func(text string) (fleet.ImageVersion, bool) {
			ref, err := fleet.ParseImageRef(text)
			if err != nil {
				return fleet.ImageVersion{}, false
			}
			_, v, err := s.ImageVersion(ref)
			return v, err == nil
		}
	}
	return compareAll("image", refs, one(before), one(after), asJSON)
}
