package warewulf

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// A place is a field of an object; the object itself if the path is "".
type place struct {
	ref
	path string
}

// A reader holds what is known of a site while it is read.
type reader struct {
	notebook
	file string // which is being read

	profileNames, nodeNames, deviceNames, imageNames dictionary
	imageUsed                                        map[string]int // the site's names, to the first line

	internal int  // the number that releases up to 4.5 put at the top of nodes.conf; 0: none
	legacy   bool // a release up to 4.5 wrote the file

	profiles map[string]*object
	nodes    map[string]*object
	renamed  []Renamed
	places   map[place]int        // to the line
	files    map[ref]string       // of objects that are not in nodes.conf
	orders   map[string][]*object // see below
	inOrder  []*object            // see allNodes
}

// note records a finding of the file that is being read.
func (r *reader) note(o Outcome, line int, of ref, field, text, do string) {
	if field == "" {
		field = of.kind + "s"
	}
	r.notebook.note(o, r.file, line, of, field, text, do)
}

// readNodes reads nodes.conf.
func (r *reader) readNodes(file string, data []byte) error {
	r.file = file
	root, err := parse(file, data)
	if err != nil {
		return err
	}
	if root.kind != mapping && root.kind != null {
		return fmt.Errorf("%s:%d: want the keys nodeprofiles and nodes, as Warewulf writes them", file, root.line)
	}
	profiles, nodes := root.get("nodeprofiles"), root.get("nodes")
	for _, section := range []*value{profiles, nodes} {
		if section != nil && section.kind != mapping && section.kind != null {
			return fmt.Errorf("%s:%d: want names and what is said of each", file, section.line)
		}
	}
	for _, e := range root.entries {
		switch e.key {
		case "nodeprofiles", "nodes":
		case "WW_INTERNAL":
			r.internal, _ = strconv.Atoi(e.text)
			r.note(Moot, e.line, ref{}, e.key, "the number of a format that Warewulf no longer counts", "")
		default:
			do := ""
			if near(e.key, "nodeprofiles") || near(e.key, "nodes") {
				do = "nodeprofiles or nodes was probably meant"
			} else if e.kind == mapping {
				do = "if this is what wwctl node export wrote, put it below nodes: and import it again"
			}
			r.note(Left, e.line, ref{}, e.key, "Warewulf has no such key, and does nothing with it", do)
		}
	}
	r.legacy = r.internal > 0 || isLegacy(profiles) || isLegacy(nodes)
	r.name(profiles, nodes)
	r.readObjects(fleet.ObjectProfile, "nodeprofiles", profiles)
	r.readObjects(fleet.ObjectNode, "nodes", nodes)
	return nil
}

// isLegacy reports whether an object of a section has a key that releases since 4.6 do not have.
func isLegacy(section *value) bool {
	if section == nil {
		return false
	}
	gone := []string{"container name", "kernel args", "kernel version", "kernel override", "keys", "disabled"}
	for _, object := range section.entries {
		for _, e := range object.entries {
			inline := slices.Contains(gone, e.key) || strings.HasPrefix(e.key, "ipmi ")
			text := (e.key == "runtime overlay" || e.key == "system overlay") && e.kind == scalar
			if inline || text || e.key == "kernel" && (e.get("override") != nil || e.get("args") != nil && e.get("args").kind == scalar) {
				return true
			}
		}
	}
	return false
}

// name chooses the names of profiles, nodes, images and devices.
func (r *reader) name(profiles, nodes *value) {
	var devices, images, profileNames, nodeNames []string
	for _, section := range []*value{profiles, nodes} {
		if section == nil {
			continue
		}
		for _, o := range section.entries {
			if d := o.get("network devices"); d != nil {
				for _, e := range d.entries {
					devices = append(devices, e.key)
				}
			}
			for _, key := range []string{"image name", "container name"} {
				if v := o.get(key); v != nil && v.kind == scalar && v.text != "" && !unset(v.text) {
					images = append(images, strings.TrimSpace(v.text))
				}
			}
			if section == profiles {
				profileNames = append(profileNames, o.key)
			} else {
				nodeNames = append(nodeNames, o.key)
			}
		}
	}
	for name := range r.imageNames { // of the directories
		images = append(images, name)
	}
	r.profileNames = newDictionary(profileNamesOf(), profileNames)
	r.nodeNames = newDictionary(names("node"), slices.DeleteFunc(nodeNames, isRange))
	r.deviceNames = newDictionary(names("interface"), devices)
	r.imageNames = newDictionary(names("image"), images)
	for _, d := range []struct {
		kind string
		of   dictionary
	}{{"interface", r.deviceNames}, {"image", r.imageNames}} {
		for _, was := range slices.Sorted(maps.Keys(d.of)) {
			if d.of[was] != was {
				r.renamed = append(r.renamed, Renamed{Kind: d.kind, Was: was, Name: d.of[was]})
			}
		}
	}
}

func isRange(name string) bool { return strings.ContainsAny(name, "[,") }

// readObjects reads one section.
func (r *reader) readObjects(kind, section string, v *value) {
	if v == nil {
		return
	}
	for _, e := range v.entries {
		switch {
		case kind == fleet.ObjectProfile:
			r.readObject(ref{kind, r.profileNames[e.key]}, section, e, r.profiles)
		case isRange(e.key):
			r.readRange(section, e)
		default:
			r.readObject(ref{kind, r.nodeNames[e.key]}, section, e, r.nodes)
		}
	}
}

// readObject reads one node or profile.
func (r *reader) readObject(of ref, section string, e entry, to map[string]*object) *object {
	o := &object{ref: of, line: e.line, was: e.key}
	s := spot{r: r, of: of, line: e.line, v: e.value}
	if of.name != e.key && !isRange(e.key) {
		s.theirs = section
		r.renamed = append(r.renamed, Renamed{Kind: of.kind, Was: e.key, Name: of.name})
		switch label, _, dotted := strings.Cut(e.key, "."); {
		case of.kind == fleet.ObjectProfile:
			s.fixedf("profile %s is %s here, wherever it is named", e.key, of.name)
		case dotted && label == of.name:
			s.fixed("a name with a domain; what stands before the first dot is the node's name here, and its host name", "see that nothing outside counts on the long one")
		default:
			s.fixed("a name that is more than lower-case letters, digits and hyphens; the nearest that is not is the node's name here, and its host name", "see that nothing outside counts on the other")
		}
		s.theirs = ""
	}
	r.places[place{of, ""}] = e.line
	takeAll(s, objectRows, o)
	if of.kind == fleet.ObjectNode && len(o.profiles) == 0 && r.legacy {
		if name, ok := r.profileNames["default"]; ok {
			o.profiles = []string{name}
			s.theirs = "profiles"
			s.fixedf("no profile is named; releases up to 4.5 then mean the profile default")
		}
	}
	to[of.name] = o
	return o
}

// maxNodes bounds the nodes of a site.
const maxNodes = 100_000

// readRange reads a range of nodes, which Warewulf does not know but in its commands, as nodes one by one.
func (r *reader) readRange(section string, e entry) {
	s := spot{r: r, line: e.line, theirs: section, v: e.value}
	list, err := hostlist.Expand(e.key)
	if err != nil {
		s.left(fmt.Sprintf("%.60q is no name of a node: %v", e.key, err), "write a range such as n[001-100]")
		return
	}
	if len(list)+len(r.nodes) > maxNodes {
		s.leftf("%.60q: more than %d nodes", e.key, maxNodes)
		return
	}
	s.fixed(fmt.Sprintf("a range, which to Warewulf is one node with that name: here it is %d nodes", len(list)), "")
	var next counter
	for _, name := range list {
		if _, taken := r.nodes[name]; taken || r.nodeNames[name] != "" {
			s.of = ref{fleet.ObjectNode, name}
			s.left("the node has an entry of its own, which holds", "")
			next.pass()
			continue
		}
		next.count(s, r.readObject(ref{fleet.ObjectNode, name}, section, e, r.nodes))
	}
}

// A counter counts addresses up from node to node of a range.
type counter struct {
	last  map[string]netip.Addr // of each device; invalid once a network is full
	steps int                   // from the last node to the next
}

// pass leaves a node out, but not its addresses.
func (c *counter) pass() { c.steps++ }

// count gives the next node of a range its addresses, and takes from it what is one machine's own.
func (c *counter) count(s spot, o *object) {
	s.of = o.ref
	if c.last == nil {
		c.last = map[string]netip.Addr{}
	}
	next := func(name string, a netip.Addr, mask fleet.Netmask) netip.Addr {
		if !a.IsValid() {
			return a
		}
		if last, ok := c.last[name]; ok {
			a = last
		}
		if a = countUp(a, c.steps, mask); !a.IsValid() {
			s.left("the network has no address left for this node of the range", "give the node another address")
		}
		c.last[name] = a
		return a
	}
	for i := range o.Interfaces {
		n := &o.Interfaces[i]
		if n.MAC != (fleet.MAC{}) {
			s.left("a MAC address of a range of nodes", "give each node its own")
			n.MAC = fleet.MAC{}
		}
		n.IP = next(n.Name, n.IP, s.r.said(o, n.Name, func(i *fleet.Interface) bool { return i.Netmask != 0 }).Netmask)
		n.IP6 = next(n.Name+" 6", n.IP6, 0)
	}
	mask := fleet.Netmask(0)
	if from := s.r.source(o, func(o *object) bool { return o.BMC.Netmask != 0 }); from != nil {
		mask = from.BMC.Netmask
	}
	o.BMC.Address = next("", o.BMC.Address, mask)
	if o.assetKey != "" {
		s.left("an asset key of a range of nodes", "give each node its own")
		o.assetKey = ""
	}
	c.steps = 1
}

// allNodes returns the nodes by name, once all are read.
func (r *reader) allNodes() []*object {
	if r.inOrder == nil {
		r.inOrder = sorted(r.nodes)
	}
	return r.inOrder
}

// sorted returns the objects of a map by name.
func sorted(of map[string]*object) []*object {
	all := slices.Collect(maps.Values(of))
	slices.SortFunc(all, func(a, b *object) int { return hostlist.Compare(a.name, b.name) })
	return all
}
