package warewulf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A device is a network device that is read, with what older releases said of it.
type device struct {
	fleet.Interface
	primary bool
}

var deviceRows = []row[device]{
	{"type", "type", takeType},
	{"device", "device", func(s spot, d *device) { s.text(&d.Device) }},
	{"hwaddr", "mac", func(s spot, d *device) { s.hardware(&d.MAC) }},
	{"ipaddr", "ip", takeAddress},
	{"ipcidr", "ip", old(takeAddress, func(d *device) bool { return d.IP.IsValid() })},
	{"netmask", "netmask", func(s spot, d *device) { s.mask(&d.Netmask) }},
	{"prefix", "", func(s spot, _ *device) { s.moot("Warewulf does nothing with it any more; the netmask holds") }},
	{"gateway", "gateway", takeGateway},
	{"ipaddr6", "ip6", takeAddress6},
	{"ip6addr", "ip6", old(takeAddress6, func(d *device) bool { return d.IP6.IsValid() })},
	{"prefixlen6", "prefix6", func(s spot, d *device) { number(s, &d.Prefix6, 128) }},
	{"gateway6", "gateway6", func(s spot, d *device) { s.address(&d.Gateway6, nil) }},
	{"mtu", "mtu", func(s spot, d *device) { number(s, &d.MTU, 65535) }},
	{"onboot", "onboot", func(s spot, d *device) { s.truth(&d.OnBoot) }},
	{"tags", "tags", func(s spot, d *device) { s.tags(&d.Tags) }},
	{"tagsdel", "tags", func(s spot, d *device) { s.without(&d.Tags) }},
	{"primary", "", takeDevicePrimary},
	{"default", "", takeDevicePrimary},
}

func takeDevices(s spot, o *object) {
	if s.v.kind != mapping {
		takeAll(s, []row[object]{}, o)
		return
	}
	var primary []string
	for _, e := range s.v.entries {
		name := s.r.deviceNames[e.key]
		one := s.inside(e, name)
		if name != e.key {
			one.fixed(fmt.Sprintf("device %s is %s here", e.key, name), "see that no template or tag goes by the other name")
		}
		d := device{Interface: fleet.Interface{Name: name}}
		takeAll(one, deviceRows, &d)
		if d.primary {
			primary = append(primary, name)
		}
		s.r.places[place{s.of, one.path}] = e.line
		o.Interfaces = append(o.Interfaces, d.Interface)
	}
	slices.SortFunc(o.Interfaces, func(a, b fleet.Interface) int { return cmp.Compare(a.Name, b.Name) })
	if len(primary) > 0 {
		o.PrimaryNetwork = slices.Min(primary)
	}
}

func takePrimary(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	name, known := s.r.deviceNames[t]
	if !known {
		s.left(fmt.Sprintf("there is no network device %.60q", t), "name one that is there")
		return
	}
	o.PrimaryNetwork = name
	s.taken()
}

func takeDevicePrimary(s spot, d *device) {
	t, ok := s.word()
	if !ok {
		return
	}
	if yes, err := parseTruth(t); err == nil && yes {
		d.primary = true
		s.fixedf("the key that says so is now \"primary network\"")
	}
}

func takeType(s spot, d *device) {
	t, ok := s.word()
	switch {
	case !ok:
	case fleet.CheckLabel("type", t) != nil:
		s.left(fmt.Sprintf("type %.40q", t), "want a word such as ethernet, infiniband, bond or vlan")
	default:
		d.Type = t
		s.taken()
	}
}

func takeAddress(s spot, d *device) {
	s.address(&d.IP, func(bits int) {
		if d.Netmask == 0 && bits <= 32 {
			d.Netmask = fleet.Netmask(bits)
		}
	})
	if d.IP.IsValid() && !d.IP.Is4() {
		d.IP6, d.IP = d.IP, netip.Addr{}
		s.fixedf("an IPv6 address; it is taken as such")
	}
}

func takeGateway(s spot, d *device) {
	s.address(&d.Gateway, nil)
	if d.Gateway.IsValid() && !d.Gateway.Is4() {
		s.left("an IPv6 address", "its key is gateway6")
		d.Gateway = netip.Addr{}
	}
}

func takeAddress6(s spot, d *device) {
	s.address(&d.IP6, func(bits int) {
		if d.Prefix6 == 0 {
			d.Prefix6 = bits
		}
	})
	if d.IP6.Is4() {
		s.left("an IPv4 address", "its key is ipaddr")
		d.IP6 = netip.Addr{}
	}
}

var diskRows = []row[fleet.Disk]{
	{"wipe_table", "wipe_table", func(s spot, d *fleet.Disk) { s.truth(&d.WipeTable) }},
	{"partitions", "partitions", takePartitions},
}

var partitionRows = []row[fleet.Partition]{
	{"number", "number", func(s spot, p *fleet.Partition) { number(s, &p.Number, 128) }},
	{"size_mib", "size_mib", func(s spot, p *fleet.Partition) { number(s, &p.SizeMiB, 1<<43-1) }},
	{"start_mib", "start_mib", takeStart},
	{"type_guid", "type_guid", func(s spot, p *fleet.Partition) { s.text(&p.TypeGUID) }},
	{"guid", "guid", func(s spot, p *fleet.Partition) { s.text(&p.GUID) }},
	{"wipe_partition_entry", "wipe_partition_entry", func(s spot, p *fleet.Partition) { s.truth(&p.WipePartitionEntry) }},
	{"should_exist", "should_exist", func(s spot, p *fleet.Partition) { s.truth(&p.ShouldExist) }},
	{"resize", "resize", func(s spot, p *fleet.Partition) { s.truth(&p.Resize) }},
}

var filesystemRows = []row[fleet.Filesystem]{
	{"format", "format", func(s spot, f *fleet.Filesystem) { s.text(&f.Format) }},
	{"path", "path", func(s spot, f *fleet.Filesystem) { s.text(&f.Path) }},
	{"wipe_filesystem", "wipe", func(s spot, f *fleet.Filesystem) { s.truth(&f.Wipe) }},
	{"label", "label", func(s spot, f *fleet.Filesystem) { s.text(&f.Label) }},
	{"uuid", "uuid", func(s spot, f *fleet.Filesystem) { s.text(&f.UUID) }},
	{"options", "options", func(s spot, f *fleet.Filesystem) {
		if f.Options = s.words(" \t\n"); len(f.Options) > 0 {
			s.taken()
		}
	}},
	{"mount_options", "mount_options", takeMountOptions},
}

// takeStart takes where a partition begins. Warewulf hands Ignition the size in its place.
func takeStart(s spot, p *fleet.Partition) {
	number(s, &p.StartMiB, 1<<43-1)
	if p.StartMiB != 0 && p.StartMiB != p.SizeMiB {
		s.fixed("Warewulf writes the partition's size where this belongs; here it is where the partition begins", "see whether that is what the disks have")
	}
}

// takeMountOptions takes words for mount: a text, or as older releases have it, a list.
func takeMountOptions(s spot, f *fleet.Filesystem) {
	var words []string
	if s.v.kind == scalar {
		t, _ := s.word()
		words = strings.FieldsFunc(t, func(r rune) bool { return r == ',' || r == ' ' })
		if strings.Contains(t, " ") {
			s.fixedf("blanks between the options; they are commas")
		}
	} else if s.v.kind == list {
		words = s.words("")
		s.fixedf("written as a list; it is one text with commas")
	}
	if len(words) > 0 {
		f.MountOptions = strings.Join(words, ",")
		s.taken()
	}
}

func takeDisks(s spot, o *object) {
	takeParts(s, diskRows, &o.Disks, func(d *fleet.Disk) *string { return &d.Device })
}

func takePartitions(s spot, d *fleet.Disk) {
	takeParts(s, partitionRows, &d.Partitions, func(p *fleet.Partition) *string { return &p.Label })
}

func takeFilesystems(s spot, o *object) {
	takeParts(s, filesystemRows, &o.Filesystems, func(f *fleet.Filesystem) *string { return &f.Device })
}

// takeParts takes a mapping of names to parts.
func takeParts[T any](s spot, rows []row[T], to *[]T, name func(*T) *string) {
	if s.v.kind != mapping {
		var none T
		takeAll(s, []row[T]{}, &none)
		return
	}
	for _, e := range s.v.entries {
		var part T
		*name(&part) = e.key
		one := s.inside(e, e.key)
		s.r.places[place{s.of, one.path}] = e.line
		takeAll(one, rows, &part)
		*to = append(*to, part)
	}
	slices.SortFunc(*to, func(a, b T) int { return cmp.Compare(*name(&a), *name(&b)) })
}

func takeResources(s spot, o *object) {
	if s.v.kind != mapping {
		takeAll(s, []row[object]{}, o)
		return
	}
	for _, e := range s.v.entries {
		one := s.inside(e, e.key)
		if e.value.kind == null {
			continue
		}
		if fleet.CheckLabel("resource", e.key) != nil {
			one.left(fmt.Sprintf("%.80q cannot name a resource", e.key), "want letters, digits and inner - _ .")
			continue
		}
		left := maxJSONValues
		v, err := e.value.json(0, &left)
		if err != nil {
			one.left(err.Error(), "say it in several resources, or with fewer levels")
			continue
		}
		r, err := fleet.NewResource(v)
		if err != nil || len(r) > fleet.MaxResource {
			one.leftf("a value that is too large, or none that JSON can hold")
			continue
		}
		if o.Resources == nil {
			o.Resources = map[string]fleet.Resource{}
		}
		o.Resources[e.key] = r
		one.taken()
	}
}
