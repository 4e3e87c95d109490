package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/config/yaml"
)

// The bounds of one Parse, beside MaxSize and those of package yaml. A range is counted for each of its nodes.
const (
	maxObjects = 256 << 10
	maxValues  = 16 << 20 // keys and values
)

// A section is one key of a document, and the kind of objects below it.
type section struct {
	name, kind string
	also       string // another name of it
	group      func(schema) *group
}

// sections returns all of them, in the order in which they are written and their kinds in that of reading: ranges of
// nodes need the networks.
func sections() []section {
	return []section{
		{"networks", fleet.ObjectNetwork, "", func(s schema) *group { return s.network }},
		{"cluster", fleet.ObjectCluster, "", func(s schema) *group { return s.cluster }},
		{"nodeprofiles", fleet.ObjectProfile, "profiles", func(s schema) *group { return s.profile }},
		{"nodes", fleet.ObjectNode, "", func(s schema) *group { return s.node }},
	}
}

// Parse reads all documents of files as one. If anything is wrong the error is Faults, and there are no Documents.
//
// A node's key can be a list of names as package hostlist has them, such as n[001-100]. What it says holds for each; an
// address of an interface or of a BMC is that of the first one, and those of the others follow as Count has it: within
// the network of these files that has the address, or else as the netmask beside it says.
func Parse(files ...File) (Documents, error) {
	s, err := newSchema()
	if err != nil {
		return Documents{}, err
	}
	p := &parse{schema: s, files: files, docs: Documents{places: places{}}, subnets: map[netip.Prefix]int{}, entries: map[string][]entry{}}
	size := 0
	for i, f := range files {
		p.file = i
		if size += len(f.Data); size > MaxSize {
			p.fault(nil, fmt.Sprintf("with it the files have more than %d MiB; apply them a part at a time", MaxSize>>20), "")
			break
		}
		p.readFile(f)
	}
	for _, sec := range sections() {
		for _, e := range p.entries[sec.kind] {
			p.readEntry(sec, e)
		}
	}
	if len(p.faults) > 0 {
		return Documents{}, p.faults.inOrder()
	}
	p.docs.sort()
	return p.docs, nil
}

// A parse is one Parse under way.
type parse struct {
	schema  schema
	files   []File
	docs    Documents
	faults  Faults
	entries map[string][]entry   // what is to be read of each kind
	values  int                  // so far
	subnets map[netip.Prefix]int // the networks so far, by their subnets

	file    int      // that is read
	trail   []string // the keys that lead to what is read, as the file spells them
	names   []string // those of them that users chose
	silent  bool     // the object is one of a range, of which another was read before
	present *placed  // where the parts of the object are that is read
}

// An entry is a key of a section.
type entry struct {
	file       int
	section    string // as the file spells it
	key, value *yaml.Node
}

// readFile takes the documents of a file apart.
func (p *parse) readFile(f File) {
	docs, err := yaml.Parse(f.Data)
	var syntax *yaml.Error
	if errors.As(err, &syntax) {
		p.faults.add(Fault{Position: Position{f.Name, syntax.Line, syntax.Column}, What: syntax.What, file: p.file})
		return
	}
	for _, doc := range docs {
		if doc.Kind != yaml.Mapping {
			p.fault(doc, fmt.Sprintf("%s where the sections %s are wanted", describe(doc), sectionNames()), "")
			continue
		}
		for key, value := range p.pairs(doc, sameSection) {
			p.readSection(key, value)
		}
	}
}

func sectionNames() string {
	return "nodeprofiles, nodes, networks and cluster"
}

// sameSection is for pairs whose keys are sections.
func sameSection(key string) string {
	for _, s := range sections() {
		if key == s.also {
			return s.name
		}
	}
	return key
}

func (p *parse) readSection(key, value *yaml.Node) {
	all := sections()
	at := slices.IndexFunc(all, func(s section) bool { return s.name == sameSection(key.Text) })
	if at < 0 {
		p.unknownSection(key)
		return
	}
	s := all[at]
	defer p.step(key.Text)()
	switch {
	case value.IsNull():
	case value.Kind != yaml.Mapping:
		p.fault(value, fmt.Sprintf("%s where a mapping is wanted", describe(value)), "")
	case s.kind == fleet.ObjectCluster:
		p.entries[s.kind] = append(p.entries[s.kind], entry{p.file, key.Text, key, value})
	default:
		for name, object := range p.pairs(value, exactly) {
			p.entries[s.kind] = append(p.entries[s.kind], entry{p.file, key.Text, name, object})
		}
	}
}

func (p *parse) unknownSection(key *yaml.Node) {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	meant := Nearest(key.Text, names)
	if meant == "" {
		meant = p.schema.suggest("", &group{}, key.Text)
	}
	p.fault(key, fmt.Sprintf("unknown section %s; want %s", describe(key), sectionNames()), meant)
}

// readEntry reads one object, or a range of nodes.
func (p *parse) readEntry(s section, e entry) {
	p.file = e.file
	defer p.step(e.section)()
	names := []string{""}
	if s.kind != fleet.ObjectCluster {
		defer p.step(e.key.Text)()
		names[0] = e.key.Text
	}
	if s.kind == fleet.ObjectNode {
		var err error
		if names, err = hostlist.Expand(e.key.Text); err != nil {
			p.fault(e.key, err.Error(), "")
			return
		}
	}
	p.values += e.value.Size() * len(names)
	if p.values > maxValues || len(p.docs.places)+len(names) > maxObjects {
		p.fault(e.key, fmt.Sprintf("with it there are more than %d objects or %d values, those of a range counted for each node; apply fewer at a time", maxObjects, maxValues), "")
		return
	}
	if e.value.Kind != yaml.Mapping && !e.value.IsNull() {
		p.fault(e.value, fmt.Sprintf("%s where a mapping is wanted", describe(e.value)), "")
		return
	}
	p.present = &placed{position: p.position(e.key)}
	for i, name := range names {
		if p.faults.full() {
			return
		}
		ref := fleet.Ref{Kind: s.kind, Name: name}
		if first, again := p.docs.places[ref]; again {
			p.fault(e.key, fmt.Sprintf("%s stands at %s already; say all of it in one place", ref, first.position), "")
			return
		}
		p.docs.places[ref] = p.present
		p.silent = i > 0
		p.readObject(s, name, e.value)
	}
	p.silent = false
	if len(names) > 1 {
		p.countAddresses(p.docs.Nodes[len(p.docs.Nodes)-len(names):], e.key)
	}
}

// readObject reads one object and appends it to the documents.
func (p *parse) readObject(s section, name string, value *yaml.Node) {
	g := s.group(p.schema)
	switch s.kind {
	case fleet.ObjectNetwork:
		n := fleet.Network{Name: name}
		p.readGroup(g, value, reflect.ValueOf(&n).Elem())
		p.subnets[n.Subnet] = len(p.docs.Networks)
		p.docs.Networks = append(p.docs.Networks, n)
	case fleet.ObjectProfile:
		n := fleet.Profile{Name: name}
		p.readGroup(g, value, reflect.ValueOf(&n).Elem())
		p.docs.Profiles = append(p.docs.Profiles, n)
	case fleet.ObjectNode:
		n := fleet.Node{Name: name}
		p.readGroup(g, value, reflect.ValueOf(&n).Elem())
		p.docs.Nodes = append(p.docs.Nodes, n)
	default:
		p.docs.Cluster = &fleet.ClusterSettings{}
		p.readGroup(g, value, reflect.ValueOf(p.docs.Cluster).Elem())
	}
}
