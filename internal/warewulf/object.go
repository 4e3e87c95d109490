package warewulf

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// An object is a node or a profile on its way from a file to a document.
type object struct {
	ref
	line     int
	was      string // its name at the site
	comment  string
	profiles []string
	fleet.Settings
	assetKey string
	old      replaced
}

// replaced says which lists, in the file's release, take the place of those of the profiles instead of adding to them.
type replaced struct{ kernelArgs, systemOverlays, runtimeOverlays bool }

// A row says what becomes of one key of a mapping. Rows are taken in their order, whatever the order of keys is.
type row[T any] struct {
	key  string // as Warewulf spells it
	ours string // its path here; "" if there is none
	take func(s spot, to *T)
}

// takeAll takes the keys that the mapping of s has, by rows. What no row names is said.
func takeAll[T any](s spot, rows []row[T], to *T) {
	if s.v.kind == null {
		return
	}
	if s.v.kind != mapping {
		s.left("keys and values are wanted here", "say it as a mapping")
		return
	}
	known := make([]bool, len(s.v.entries))
	for _, r := range rows {
		for at, e := range s.v.entries {
			if e.key == r.key {
				known[at] = true
				r.take(s.under(e, r.key, r.ours), to)
			}
		}
	}
	for at, e := range s.v.entries {
		if !known[at] {
			meant := ""
			for _, r := range rows {
				if near(e.key, r.key) {
					meant = fmt.Sprintf("%q was probably meant", r.key)
					break
				}
			}
			s.under(e, e.key, "").left("Warewulf has no such key, and does nothing with it", meant)
		}
	}
}

// under returns the spot of an entry of the mapping at s.
func (s spot) under(e entry, key, ours string) spot {
	dot := func(above, below string) string {
		if above == "" || below == "" {
			return above + below
		}
		return above + "." + below
	}
	s.theirs, s.line, s.v = dot(s.theirs, key), e.line, e.value
	if ours == "" {
		s.ours, s.path = "", ""
		return s
	}
	s.ours, s.path = dot(s.ours, ours), dot(s.path, ours)
	return s
}

// inside returns s for what has a name that the site chose.
func (s spot) inside(e entry, name string) spot {
	s.theirs, s.ours, s.path, s.line, s.v = s.theirs+".*", s.ours+".*", s.path+"."+pathKey(name), e.line, e.value
	return s
}

// pathKey returns a name as it stands in the path of a field.
func pathKey(name string) string {
	if name == "" || strings.ContainsAny(name, ". \"") {
		return strconv.Quote(name)
	}
	return name
}

// near reports whether one key is the other with a slip.
func near(a, b string) bool {
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == ' ' || r == '_' || r == '-' {
				return -1
			}
			return r
		}, strings.ToLower(s))
	}
	a, b = plain(a), plain(b)
	if len(a) > 40 || len(b) < 4 {
		return a == b
	}
	return distance(a, b) <= 2
}

// distance returns how many letters must be put in, taken out or replaced to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// objectRows are the keys of nodes and profiles, of all releases. Where two say one thing, the newer stands first and the
// older is taken only if the newer says nothing.
var objectRows = []row[object]{
	{"profiles", "profiles", takeProfiles},
	{"comment", "comment", takeComment},
	{"cluster name", "cluster", func(s spot, o *object) { s.text(&o.Cluster) }},
	{"image name", "image", takeImage},
	{"container name", "image", takeImage},
	{"ipxe template", "", takeTemplate},
	{"init", "init", func(s spot, o *object) { s.text(&o.Init) }},
	{"root", "root", takeRoot},
	{"system overlay", "system_overlays", func(s spot, o *object) { takeOverlays(s, &o.SystemOverlays, &o.old.systemOverlays) }},
	{"runtime overlay", "runtime_overlays", func(s spot, o *object) { takeOverlays(s, &o.RuntimeOverlays, &o.old.runtimeOverlays) }},
	{"kernel", "", func(s spot, o *object) { takeAll(s, kernelRows, o) }},
	{"kernel args", "kernel_args", takeKernelArgs},
	{"kernel version", "kernel_version", takeKernelVersion},
	{"kernel override", "kernel_version", takeKernelOverride},
	{"ipmi", "bmc", func(s spot, o *object) { takeAll(s, bmcRows, o) }},
	{"ipmi username", "bmc.user", old(func(s spot, o *object) { s.text(&o.BMC.User) }, func(o *object) bool { return o.BMC.User != "" })},
	{"ipmi password", "bmc.password", old(takePassword, func(o *object) bool { return len(o.BMC.Password) > 0 })},
	{"ipmi ipaddr", "bmc.address", old(takeBMCAddress, func(o *object) bool { return o.BMC.Address.IsValid() })},
	{"ipmi netmask", "bmc.netmask", old(func(s spot, o *object) { s.mask(&o.BMC.Netmask) }, func(o *object) bool { return o.BMC.Netmask != 0 })},
	{"ipmi gateway", "bmc.gateway", old(func(s spot, o *object) { s.address(&o.BMC.Gateway, nil) }, func(o *object) bool { return o.BMC.Gateway.IsValid() })},
	{"ipmi port", "bmc.port", old(func(s spot, o *object) { number(s, &o.BMC.Port, 65535) }, func(o *object) bool { return o.BMC.Port != 0 })},
	{"ipmi interface", "bmc.driver", old(takeDriver, func(o *object) bool { return o.BMC.Driver != "" })},
	{"ipmi escapechar", "bmc.escape_char", old(func(s spot, o *object) { s.text(&o.BMC.EscapeChar) }, func(o *object) bool { return o.BMC.EscapeChar != "" })},
	{"ipmi write", "bmc.write", old(func(s spot, o *object) { s.truth(&o.BMC.Write) }, func(o *object) bool { return o.BMC.Write != nil })},
	{"keys", "tags", func(s spot, o *object) { s.tags(&o.Tags) }},
	{"tags", "tags", func(s spot, o *object) { s.tags(&o.Tags) }},
	{"tagsdel", "tags", func(s spot, o *object) { s.without(&o.Tags) }},
	{"network devices", "interfaces", takeDevices},
	{"primary network", "primary_network", takePrimary},
	{"disks", "disks", takeDisks},
	{"filesystems", "filesystems", takeFilesystems},
	{"resources", "resources", takeResources},
	{"asset key", "asset_key", takeAssetKey},
	{"discoverable", "", takeDiscoverable},
	{"disabled", "", func(s spot, _ *object) { s.moot("Warewulf does nothing with it any more") }},
}

var kernelRows = []row[object]{
	{"version", "kernel_version", takeKernelVersion},
	{"override", "kernel_version", takeKernelOverride},
	{"args", "kernel_args", takeKernelArgs},
}

// old returns what takes a key that has a successor, unless that said something.
func old[T any](take func(s spot, to *T), said func(to *T) bool) func(s spot, to *T) {
	return func(s spot, to *T) {
		if said(to) {
			s.fixedf("the newer key beside it holds")
			return
		}
		take(s, to)
	}
}

func takeProfiles(s spot, o *object) {
	for _, n := range s.words(",") {
		name, negated := strings.CutPrefix(n, "~")
		to, known := s.r.profileNames[name]
		switch {
		case !known:
			s.left(fmt.Sprintf("there is no profile %.80q; Warewulf passes over it", name), "add the profile, or do without")
			continue
		case negated:
			to = "~" + to
		}
		o.profiles = append(o.profiles, to)
	}
	if kept := eachOnce(o.profiles); len(kept) < len(o.profiles) {
		s.fixedf("a profile is named more than once; the first place counts")
		o.profiles = kept
	}
	if len(o.profiles) > 0 {
		s.taken()
	}
}

func takeComment(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	one := strings.Join(strings.Fields(t), " ")
	if strings.ContainsAny(t, "\n\t\r") {
		s.fixedf("a comment of several lines; it is one")
	}
	if len(one) > 1024 {
		one = strings.ToValidUTF8(one[:1024], "")
		s.fixedf("cut to 1024 characters")
	}
	o.comment = one
	s.taken()
}

func takeImage(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	if !o.Image.IsZero() {
		s.fixedf("the newer key beside it holds")
		return
	}
	name := s.r.imageNames[t]
	if name != t {
		s.fixedf("image %s is %s here", t, name)
	}
	o.Image = fleet.ImageRef{Name: name}
	s.r.imageUsed[t] = min(s.line, cmpZero(s.r.imageUsed[t], s.line))
	s.taken()
}

// cmpZero returns n, or other if n is 0.
func cmpZero(n, other int) int {
	if n == 0 {
		return other
	}
	return n
}

func takeTemplate(s spot, o *object) {
	t, ok := s.word()
	switch {
	case !ok || t == "default":
	case t == "dracut":
		s.moot("the boot in two stages: an image is fetched piece by piece here, and never held twice")
	default:
		s.left(fmt.Sprintf("iPXE template %.60q", t), "boot scripts are made here for each node; say what the template did with kernel arguments, or boot such a node by its firmware")
	}
}

func takeRoot(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	switch t {
	case "initramfs":
		o.Root = fleet.RootOverlay
		s.fixedf("initramfs is overlay here: the image stays packed in RAM")
	case "ramfs":
		o.Root = fleet.RootTmpfs
		s.fixedf("ramfs is tmpfs here, which can be swapped out")
	case "tmpfs":
		o.Root = fleet.RootTmpfs
	default:
		s.left(fmt.Sprintf("a root on a device, %.60q", t), "nodes run from RAM here; put what needs a disk onto a filesystem of the node")
		return
	}
	s.taken()
}

func takeOverlays(s spot, to *[]string, replaces *bool) {
	*replaces = s.v.kind == scalar || s.r.internal > 0 && s.r.internal < 45
	for _, n := range s.words(",") {
		if fleet.CheckLabel("overlay", strings.TrimPrefix(n, "~")) != nil {
			s.left(fmt.Sprintf("%.80q cannot be the name of an overlay here", n), "rename the overlay: letters, digits and inner - _ .")
			continue
		}
		*to = append(*to, n)
	}
	if kept := eachLast(*to); len(kept) < len(*to) {
		s.fixedf("an overlay is named more than once; the last place counts")
		*to = kept
	}
	if len(*to) > 0 {
		s.taken()
	}
}

// eachOnce returns words without those that stood before, and eachLast without those that follow: what is laid last counts.
func eachOnce(words []string) []string {
	seen := map[string]bool{}
	var kept []string
	for _, w := range words {
		if !seen[w] {
			seen[w] = true
			kept = append(kept, w)
		}
	}
	return kept
}

func eachLast(words []string) []string {
	last := map[string]int{}
	for at, w := range words {
		last[w] = at
	}
	var kept []string
	for at, w := range words {
		if last[w] == at {
			kept = append(kept, w)
		}
	}
	return kept
}

func takeAssetKey(s spot, o *object) {
	if o.kind != fleet.ObjectNode {
		s.left("an asset key of a profile", "it is each node's own; set it on the nodes")
		return
	}
	s.text(&o.assetKey)
}

// takeDiscoverable only says what to do: a node waits for an unknown machine until a time, which no file knows.
func takeDiscoverable(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	switch yes, err := parseTruth(t); {
	case err != nil:
		s.left("neither true nor false", "say true or false")
	case yes && o.kind == fleet.ObjectNode:
		s.left("waits for an unknown machine, without an end", "nodes wait for a time here; once all is set: samara node discover NODES")
	case yes:
		s.left("waits for an unknown machine", "it is each node's own: samara node discover NODES")
	}
}
