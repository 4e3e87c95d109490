package warewulf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A server is what warewulf.conf says that is of use here.
type server struct {
	line        int // of ipaddr; 0: no file, or none in it
	address     netip.Addr
	mask        fleet.Netmask
	network     netip.Addr
	prefix      int // behind ipaddr; 0: none
	fqdn        string
	dhcpLine    int
	dhcpOff     bool
	first, last netip.Addr
	rangeLine   int
	paths       map[string]string
	exports     []export
}

// An export is a directory that releases up to 4.5 had nodes mount of the server.
type export struct {
	path, options string
	line          int
}

// readServer reads warewulf.conf.
func (r *reader) readServer(file string, data []byte) (*server, error) {
	r.file = file
	root, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	if root.kind != mapping && root.kind != null {
		return nil, fmt.Errorf("%s:%d: want keys and values, as Warewulf writes them", file, root.line)
	}
	s := &server{paths: map[string]string{}}
	at := spot{r: r, line: root.line, v: root}
	takeAll(at, serverRows, s)
	return s, nil
}

// serverRows are the sections of warewulf.conf, of all releases.
var serverRows = []row[server]{
	{"ipaddr", "", takeServerAddress},
	{"netmask", "", func(s spot, to *server) { s.mask(&to.mask) }},
	{"network", "", func(s spot, to *server) { s.address(&to.network, nil) }},
	{"fqdn", "", func(s spot, to *server) { s.text(&to.fqdn) }},
	{"ipaddr6", "", advise("the server's IPv6 address", "nodes boot by IPv4 here; their own IPv6 addresses are taken")},
	{"prefixlen6", "", func(spot, *server) {}},
	{"ipv6net", "", func(spot, *server) {}},
	{"comment", "", func(spot, *server) {}},
	{"WW_INTERNAL", "", func(spot, *server) {}},
	{"warewulf", "", section(daemonRows)},
	{"dhcp", "", section(dhcpRows)},
	{"tftp", "", section(tftpRows)},
	{"nfs", "", section(nfsRows)},
	{"ssh", "", advise("key types of SSH", "let nodes make host keys when they boot; samara cluster set --ssh-key says who may be root on them")},
	{"image mounts", "", advise("what is mounted into an image while one works in it", "work in an image with any tool that makes directories or OCI images, and import it again")},
	{"container mounts", "", advise("what is mounted into an image while one works in it", "work in an image with any tool that makes directories or OCI images, and import it again")},
	{"paths", "", takePaths},
	{"wwclient", "", moot("the port of Warewulf's agent on the node: the agent here uses a port of its own, and TLS")},
	{"api", "", advise("Warewulf's API", "scripts that use it are to use the API here")},
}

// daemonRows are of warewulfd.
var daemonRows = []row[server]{
	{"port", "", moot("warewulfd's port: controllers have ports of their own, which samara init can set")},
	{"tls port", "", func(spot, *server) {}},
	{"tls", "", moot("TLS for some of what nodes fetch: agents speak TLS with controllers here, always")},
	{"secure", "", moot("whether nodes must ask from a privileged port: a node proves itself by a token here")},
	{"secure files", "", func(spot, *server) {}},
	{"update interval", "", moot("how often nodes ask for runtime overlays: agents are connected with controllers here, and are told")},
	{"autobuild overlays", "", moot("whether overlays are built when nodes ask: there is nothing to build here")},
	{"host overlay", "", advise("whether the server's own files are made of an overlay", "hosts, exports and the like on head nodes are the site's own affair here")},
	{"grubboot", "", func(s spot, _ *server) {
		if t, ok := s.word(); ok && t != "false" {
			s.left("boot by shim and GRUB", "nodes boot by iPXE here; switch Secure Boot off in the firmware of nodes that have it on")
		}
	}},
	{"systemd name", "", func(spot, *server) {}},
	{"syslog", "", func(spot, *server) {}},
	{"datastore", "", func(s spot, to *server) {
		if t, ok := s.word(); ok {
			to.paths["datadir"] = t
		}
	}},
}

var dhcpRows = []row[server]{
	{"enabled", "", func(s spot, to *server) {
		t, ok := s.word()
		yes, err := parseTruth(t)
		to.dhcpOff = ok && err == nil && !yes
		to.dhcpLine = s.line
	}},
	{"range start", "", func(s spot, to *server) { to.rangeLine = s.line; s.address(&to.first, nil) }},
	{"range end", "", func(s spot, to *server) { s.address(&to.last, nil) }},
	{"template", "", func(s spot, _ *server) {
		if t, ok := s.word(); ok && t != "default" && t != "static" {
			s.left(fmt.Sprintf("a DHCP template of the site, %.60q", t), "nodes get their own addresses by DHCP here; what else the template says belongs to another DHCP server")
		}
	}},
	{"range6 start", "", advise("a range of DHCPv6", "there is no DHCPv6 here; nodes have the IPv6 addresses that are set")},
	{"range6 end", "", func(spot, *server) {}},
	{"systemd name", "", moot("the service that answers DHCP: controllers answer DHCP themselves; stop that service when they do")},
}

var tftpRows = []row[server]{
	{"enabled", "", func(spot, *server) {}},
	{"tftproot", "", moot("the TFTP server's directory: controllers answer TFTP themselves")},
	{"systemd name", "", func(spot, *server) {}},
	{"ipxe", "", moot("iPXE of the site's own, by architecture: iPXE comes with the controllers")},
}

var nfsRows = []row[server]{
	{"enabled", "", func(spot, *server) {}},
	{"systemd name", "", func(spot, *server) {}},
	{"exports", "", takeExports},
	{"export paths", "", takeExports},
}

func section(rows []row[server]) func(spot, *server) {
	return func(s spot, to *server) { takeAll(s, rows, to) }
}

// advise returns what leaves a setting, with a word on what to do instead.
func advise(what, do string) func(spot, *server) {
	return func(s spot, _ *server) {
		if s.v.kind != null {
			s.left(what, do)
		}
	}
}

// moot returns what leaves a setting of which nothing here has need.
func moot(why string) func(spot, *server) {
	return func(s spot, _ *server) {
		if s.v.kind != null {
			s.moot(why)
		}
	}
}

func takeServerAddress(s spot, to *server) {
	t, ok := s.word()
	if !ok {
		return
	}
	to.line = s.line
	if p, err := netip.ParsePrefix(t); err == nil {
		to.address, to.prefix = p.Addr(), p.Bits()
		return
	}
	s.address(&to.address, nil)
}

func takePaths(s spot, to *server) {
	for _, e := range s.v.entries {
		if e.kind == scalar && strings.HasPrefix(e.text, "/") {
			to.paths[strings.ToLower(e.key)] = e.text
		}
	}
}

// takeExports takes the directories that nodes mount, and leaves the serving of them.
func takeExports(s spot, to *server) {
	if s.v.kind != list {
		return
	}
	for _, item := range s.v.items {
		one := s
		one.line = item.line
		one.left("a directory that the server exports by NFS", "the NFS server stays what it is: keep its exports, and see that nodes find it under the name that their fstab has")
		e := export{path: item.text, line: item.line}
		mount := item.kind == scalar
		if item.kind == mapping {
			if p := item.get("path"); p != nil {
				e.path = p.text
			}
			if m := item.get("mount"); m != nil {
				mount, _ = parseTruth(m.text)
			}
			if o := item.get("mount options"); o != nil {
				e.options = o.text
			}
		}
		if mount && strings.HasPrefix(e.path, "/") {
			to.exports = append(to.exports, e)
		}
	}
}

// subnet returns the network that nodes boot on; false if the file does not say.
func (s *server) subnet() (netip.Prefix, bool) {
	bits := int(s.mask)
	if bits == 0 {
		bits = s.prefix
	}
	base := s.network
	if !base.IsValid() {
		base = s.address
	}
	if bits == 0 || !base.Is4() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(base, bits).Masked(), true
}

// mountExports gives the profile default what releases up to 4.5 mounted on every node without a word in nodes.conf.
func (r *reader) mountExports(s *server, file string) {
	if s == nil || len(s.exports) == 0 {
		return
	}
	r.file = file
	name, ok := r.profileNames["default"]
	if !ok {
		r.note(Left, s.exports[0].line, ref{}, "nfs", "mounts for all nodes, and there is no profile default to say them", "say them in resources.fstab of a profile")
		return
	}
	o := r.profiles[name]
	var fstab []any
	if was, ok := o.Resources["fstab"]; ok {
		if fstab, ok = was.Value().([]any); !ok {
			r.note(Left, s.exports[0].line, o.ref, "nfs", "mounts for all nodes, and resources.fstab is no list", "say them there")
			return
		}
	}
	for _, e := range s.exports {
		mounted := slices.ContainsFunc(fstab, func(line any) bool {
			m, ok := line.(map[string]any)
			return ok && m["file"] == e.path
		})
		if mounted {
			continue
		}
		line := map[string]any{"spec": "warewulf:" + e.path, "file": e.path, "vfstype": "nfs"}
		if e.options != "" {
			line["mntops"] = e.options
		}
		fstab = append(fstab, line)
		r.note(Fixed, e.line, o.ref, "nfs", "a directory that all nodes mount; resources.fstab says so", "nodes must find the server under the name warewulf")
	}
	res, err := fleet.NewResource(fstab)
	if err != nil {
		return
	}
	if o.Resources == nil {
		o.Resources = map[string]fleet.Resource{}
	}
	o.Resources["fstab"] = res
}
