package fleet

import (
	"net/netip"
	"time"
)

// A Field is one thing that a node, or a profile, can be told. The table of fields is the one source of their names:
// those of YAML, flags, columns, differences and messages.
type Field struct {
	Path     string    // its place in JSON, with "*" for a name that users choose: "bmc.user", "interfaces.*.mac", "tags.*"
	Warewulf string    // its place in Warewulf's nodes.conf; "" if that has no such thing
	Kind     FieldKind // what it holds
	Needs    Needs     // what makes a change of it effective on a node that runs
	Secret   bool      // it can be written and not read
	NodeOnly bool      // a profile cannot have it
	Doc      string    // what it means, in one line without a full stop

	negatable bool // "~word" takes a word of the list away
}

// A FieldKind is what a field holds.
type FieldKind string

// The kinds, and how their values are written as text.
const (
	KindText    FieldKind = "text"    // as it is
	KindNumber  FieldKind = "number"  // decimal
	KindBool    FieldKind = "bool"    // true or false
	KindList    FieldKind = "list"    // words with blanks between
	KindAddress FieldKind = "address" // as net/netip writes it
	KindNetmask FieldKind = "netmask" // 255.255.255.0
	KindMAC     FieldKind = "mac"     // 52:54:00:12:34:56
	KindImage   FieldKind = "image"   // NAME or NAME:VERSION
	KindTime    FieldKind = "time"    // RFC 3339
	KindValue   FieldKind = "value"   // JSON
)

// Needs says what makes a change effective on a node that runs.
type Needs int

// The needs, in ascending order.
const (
	NeedsNothing Needs = iota // it is so at once
	NeedsRefresh              // the node refreshes its runtime overlays
	NeedsReboot               // the node boots again
)

// String returns "nothing", "refresh" or "reboot".
func (n Needs) String() string {
	switch n {
	case NeedsRefresh:
		return "refresh"
	case NeedsReboot:
		return "reboot"
	}
	return "nothing"
}

// MarshalText writes the form of String.
func (n Needs) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Fields returns the table of fields, in the order in which they are shown: first what nodes and profiles have beside
// their settings, then the settings, then what only nodes have.
func Fields() []Field {
	var out []Field
	for _, a := range settingsOfNode.above {
		out = append(out, a.fields()...)
	}
	for _, a := range settingsTable {
		out = append(out, a.fields()...)
	}
	for _, a := range settingsOfNode.below {
		out = append(out, a.fields()...)
	}
	return out
}

// settingsOfNode is what a node has beside its settings. A profile has what stands above them.
var settingsOfNode = struct{ above, below []attribute[Node] }{
	above: []attribute[Node]{
		text("comment", "comment", NeedsNothing, "words for people", func(n *Node) *string { return &n.Comment }),
		list("profiles", "profiles", NeedsNothing, "profiles that its own settings are laid upon, in this order; ~NAME drops one that another brings", func(n *Node) *[]string { return &n.Profiles }, false),
	},
	below: []attribute[Node]{
		text("asset_key", "asset key", NeedsNothing, "tag of its chassis, which the machine must show to boot as this node", func(n *Node) *string { return &n.AssetKey }).nodeOnly(),
		moment("discover", "discoverable", NeedsNothing, "until when an unknown machine may become this node", func(n *Node) *time.Time { return &n.Discover }).nodeOnly(),
	},
}

// settingsTable is the fields of Settings.
var settingsTable = []attribute[Settings]{
	text("cluster", "cluster name", NeedsRefresh, "name of the cluster that it counts itself to", func(s *Settings) *string { return &s.Cluster }),
	each("interfaces", "network devices", interfaceTable, func(s *Settings) *[]Interface { return &s.Interfaces }, func(i *Interface) *string { return &i.Name }),
	text("primary_network", "primary network", NeedsReboot, "interface that is the node's own; none means the first by name", func(s *Settings) *string { return &s.PrimaryNetwork }),
	image("image", "image name", NeedsReboot, "image that it boots", func(s *Settings) *ImageRef { return &s.Image }),
	text("kernel_version", "kernel.version", NeedsReboot, "kernel of those in the image; none means the one that the image boots with", func(s *Settings) *string { return &s.KernelVersion }),
	negatable("kernel_args", "kernel.args", NeedsReboot, "words at the end of the kernel's command line", func(s *Settings) *[]string { return &s.KernelArgs }),
	text("init", "init", NeedsReboot, "program that its root runs first; none means /sbin/init", func(s *Settings) *string { return &s.Init }),
	text("root", "root", NeedsReboot, "what its root is: overlay, or tmpfs to unpack the image into RAM", func(s *Settings) *RootMode { return &s.Root }),
	negatable("system_overlays", "system overlay", NeedsReboot, "overlays laid over the image at boot", func(s *Settings) *[]string { return &s.SystemOverlays }),
	negatable("runtime_overlays", "runtime overlay", NeedsRefresh, "overlays laid over the image at boot and refreshed since", func(s *Settings) *[]string { return &s.RuntimeOverlays }),
	inner("bmc", "ipmi", bmcTable, func(s *Settings) *BMC { return &s.BMC }),
	keyed("tags", "tags", NeedsRefresh, "text for templates", func(s *Settings) *map[string]string { return &s.Tags }),
	resources("resources", "resources", NeedsReboot, "any value, for templates", func(s *Settings) *map[string]Resource { return &s.Resources }),
	each("disks", "disks", diskTable, func(s *Settings) *[]Disk { return &s.Disks }, func(d *Disk) *string { return &d.Device }),
	each("filesystems", "filesystems", filesystemTable, func(s *Settings) *[]Filesystem { return &s.Filesystems }, func(f *Filesystem) *string { return &f.Device }),
	text("rack", "", NeedsNothing, "where it stands; peers of one rack feed each other first", func(s *Settings) *string { return &s.Rack }),
	text("switch_port", "", NeedsNothing, "port that it is plugged into, as its switch names it in DHCP", func(s *Settings) *string { return &s.SwitchPort }),
	text("reseed", "", NeedsRefresh, "how long it gives its image on: always, never, until-rollout-done or a duration", func(s *Settings) *Reseed { return &s.Reseed }),
	number("upload_limit", "", NeedsRefresh, "bytes per second that it sends at most once booted", func(s *Settings) *int64 { return &s.UploadLimit }),
	text("group", "", NeedsNothing, "rollout group", func(s *Settings) *string { return &s.Group }),
}

var interfaceTable = []attribute[Interface]{
	hardware("mac", "hwaddr", NeedsReboot, "hardware address", func(i *Interface) *MAC { return &i.MAC }).nodeOnly(),
	address("ip", "ipaddr", NeedsReboot, "IPv4 address", func(i *Interface) *netip.Addr { return &i.IP }).nodeOnly(),
	text("type", "type", NeedsReboot, "ethernet, infiniband, bond, bond-slave, vlan, bridge …", func(i *Interface) *string { return &i.Type }),
	text("device", "device", NeedsReboot, "the kernel's name of it", func(i *Interface) *string { return &i.Device }),
	netmask("netmask", "netmask", NeedsReboot, "mask of the IPv4 network; none means as the network has it", func(i *Interface) *Netmask { return &i.Netmask }),
	address("gateway", "gateway", NeedsReboot, "IPv4 router", func(i *Interface) *netip.Addr { return &i.Gateway }),
	address("ip6", "ipaddr6", NeedsReboot, "IPv6 address", func(i *Interface) *netip.Addr { return &i.IP6 }).nodeOnly(),
	number("prefix6", "prefixlen6", NeedsReboot, "length of the IPv6 address's prefix", func(i *Interface) *int { return &i.Prefix6 }),
	address("gateway6", "gateway6", NeedsReboot, "IPv6 router", func(i *Interface) *netip.Addr { return &i.Gateway6 }),
	number("mtu", "mtu", NeedsReboot, "largest packet, in bytes", func(i *Interface) *int { return &i.MTU }),
	truth("onboot", "onboot", NeedsReboot, "whether the node brings it up", func(i *Interface) **bool { return &i.OnBoot }),
	keyed("tags", "tags", NeedsReboot, "text for templates, such as DNS1, master, vlan_id", func(i *Interface) *map[string]string { return &i.Tags }),
}

var bmcTable = []attribute[BMC]{
	address("address", "ipaddr", NeedsNothing, "address of the board management controller", func(b *BMC) *netip.Addr { return &b.Address }).nodeOnly(),
	netmask("netmask", "netmask", NeedsNothing, "mask of its network", func(b *BMC) *Netmask { return &b.Netmask }),
	address("gateway", "gateway", NeedsNothing, "its router", func(b *BMC) *netip.Addr { return &b.Gateway }),
	text("user", "username", NeedsNothing, "account on it", func(b *BMC) *string { return &b.User }),
	secret("password", "password", NeedsNothing, "password of that account", func(b *BMC) *Secret { return &b.Password }),
	number("port", "port", NeedsNothing, "port that it answers on; none means the driver's", func(b *BMC) *int { return &b.Port }),
	text("driver", "interface", NeedsNothing, "how to talk to it: lan, lanplus or redfish", func(b *BMC) *string { return &b.Driver }),
	number("vlan", "tags.vlan", NeedsNothing, "VLAN that it is in", func(b *BMC) *int { return &b.VLAN }),
	text("escape_char", "escapechar", NeedsNothing, "character that ends a serial console", func(b *BMC) *string { return &b.EscapeChar }),
	truth("write", "write", NeedsReboot, "whether the node programs it as said here when it boots", func(b *BMC) **bool { return &b.Write }),
	text("template", "template", NeedsNothing, "file that says how to talk to it", func(b *BMC) *string { return &b.Template }),
	keyed("tags", "tags", NeedsNothing, "text for templates", func(b *BMC) *map[string]string { return &b.Tags }),
}

var diskTable = []attribute[Disk]{
	truth("wipe_table", "wipe_table", NeedsReboot, "make the partition table anew", func(d *Disk) **bool { return &d.WipeTable }),
	each("partitions", "partitions", partitionTable, func(d *Disk) *[]Partition { return &d.Partitions }, func(p *Partition) *string { return &p.Label }),
}

var partitionTable = []attribute[Partition]{
	number("number", "number", NeedsReboot, "its number; none means the next free one", func(p *Partition) *int { return &p.Number }),
	number("size_mib", "size_mib", NeedsReboot, "its size in MiB; none means all that is left", func(p *Partition) *int64 { return &p.SizeMiB }),
	number("start_mib", "start_mib", NeedsReboot, "where it begins, in MiB; none means the next free place", func(p *Partition) *int64 { return &p.StartMiB }),
	text("type_guid", "type_guid", NeedsReboot, "GPT type; none means Linux filesystem data", func(p *Partition) *string { return &p.TypeGUID }),
	text("guid", "guid", NeedsReboot, "GPT unique identifier", func(p *Partition) *string { return &p.GUID }),
	truth("wipe_partition_entry", "wipe_partition_entry", NeedsReboot, "replace what is there if it differs", func(p *Partition) **bool { return &p.WipePartitionEntry }),
	truth("should_exist", "should_exist", NeedsReboot, "whether it is to exist", func(p *Partition) **bool { return &p.ShouldExist }),
	truth("resize", "resize", NeedsReboot, "resize what is there", func(p *Partition) **bool { return &p.Resize }),
}

var filesystemTable = []attribute[Filesystem]{
	text("format", "format", NeedsReboot, "ext4, xfs, swap …", func(f *Filesystem) *string { return &f.Format }),
	text("path", "path", NeedsReboot, "where it is mounted", func(f *Filesystem) *string { return &f.Path }),
	truth("wipe", "wipe_filesystem", NeedsReboot, "whether it is made anew at each boot", func(f *Filesystem) **bool { return &f.Wipe }),
	text("label", "label", NeedsReboot, "its label", func(f *Filesystem) *string { return &f.Label }),
	text("uuid", "uuid", NeedsReboot, "its UUID", func(f *Filesystem) *string { return &f.UUID }),
	list("options", "options", NeedsReboot, "words for mkfs", func(f *Filesystem) *[]string { return &f.Options }, false),
	text("mount_options", "mount_options", NeedsReboot, "words for mount, with commas between", func(f *Filesystem) *string { return &f.MountOptions }),
}
