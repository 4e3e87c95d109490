package warewulf

import (
	"fmt"
	"path"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// ownArgs are what this product puts onto the command line itself, or Warewulf for its own purposes.
var ownArgs = []string{"samara.", "BOOTIF=", "initrd=", "wwid=", "wwinit.", "root=wwinit"}

func takeKernelArgs(s spot, o *object) {
	if len(o.KernelArgs) > 0 {
		s.fixedf("the newer key beside it holds")
		return
	}
	o.old.kernelArgs = s.v.kind == scalar
	var args []string
	for _, w := range s.words(" \t\n") {
		parts := strings.Fields(w)
		if len(parts) > 1 && !strings.ContainsAny(w, "'\"") {
			s.fixedf("several arguments in one item; each is one")
			args = append(args, parts...)
			continue
		}
		args = append(args, w)
	}
	for _, a := range args {
		if err := checkArg(strings.TrimPrefix(a, "~")); err != nil {
			s.left(fmt.Sprintf("argument %.80q %s", a, err), "leave it out, or say it in another way")
			continue
		}
		o.KernelArgs = append(o.KernelArgs, a)
	}
	if kept := eachLast(o.KernelArgs); len(kept) < len(o.KernelArgs) {
		s.fixedf("an argument stands there more than once; the last place counts")
		o.KernelArgs = kept
	}
	if len(o.KernelArgs) > 0 {
		s.taken()
	}
}

func checkArg(a string) error {
	if a == "" || strings.ContainsAny(a, " \t'\"\\`$#;|&") {
		return fmt.Errorf("holds blanks, quotes, backslashes or one of $ # ; | &")
	}
	for _, own := range ownArgs {
		if strings.HasPrefix(a, own) {
			return fmt.Errorf("is set at boot by what boots the node")
		}
	}
	return nil
}

// takeKernelVersion takes the version of a kernel, or the path of one within the image, of which only the version counts.
func takeKernelVersion(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	version := kernelVersion(t)
	switch {
	case o.KernelVersion != "":
		s.fixedf("the newer key beside it holds")
		return
	case version == "":
		s.left(fmt.Sprintf("%.80q names no version of a kernel", t), "samara image show IMAGE tells which kernel an image boots with")
		return
	case version != t:
		s.fixedf("a path within the image; its version %s counts", version)
	}
	o.KernelVersion = version
	s.taken()
}

// takeKernelOverride takes the name of a kernel that was imported beside images, which releases up to 4.5 could do.
func takeKernelOverride(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	version := kernelVersion(t)
	switch {
	case o.KernelVersion != "":
		s.left("a kernel imported beside images; the version beside it holds", "import an image that holds the kernel")
	case version == "":
		s.left(fmt.Sprintf("kernel %.80q, imported beside images", t), "import an image that holds the kernel")
	default:
		o.KernelVersion = version
		s.fixed("a kernel imported beside images; its version is looked for in the image", "import an image that holds the kernel")
		s.taken()
	}
}

// kernelVersion returns the version in what may be the path of a kernel: /boot/vmlinuz-6.8.0, /lib/modules/6.8.0/vmlinuz.
func kernelVersion(s string) string {
	if strings.Contains(s, "/") {
		base := path.Base(s)
		if base == "vmlinuz" || base == "Image" {
			base = path.Base(path.Dir(s))
		}
		for _, prefix := range []string{"vmlinuz-", "vmlinux-", "Image-", "kernel-"} {
			base = strings.TrimPrefix(base, prefix)
		}
		s = base
	}
	if s == "" || s[0] < '0' || s[0] > '9' || strings.ContainsAny(s, " '\"\\`$#;|&<>/") {
		return ""
	}
	return s
}

var bmcRows = []row[object]{
	{"username", "user", func(s spot, o *object) { s.text(&o.BMC.User) }},
	{"password", "password", takePassword},
	{"ipaddr", "address", takeBMCAddress},
	{"netmask", "netmask", func(s spot, o *object) { s.mask(&o.BMC.Netmask) }},
	{"gateway", "gateway", func(s spot, o *object) { s.address(&o.BMC.Gateway, nil) }},
	{"port", "port", func(s spot, o *object) { number(s, &o.BMC.Port, 65535) }},
	{"interface", "driver", takeDriver},
	{"escapechar", "escape_char", func(s spot, o *object) { s.text(&o.BMC.EscapeChar) }},
	{"write", "write", func(s spot, o *object) { s.truth(&o.BMC.Write) }},
	{"template", "template", takeBMCTemplate},
	{"tags", "tags", takeBMCTags},
	{"tagsdel", "tags", func(s spot, o *object) { s.without(&o.BMC.Tags) }},
}

// takePassword takes a secret: no word of the report may show it.
func takePassword(s spot, o *object) {
	if t, ok := s.word(); ok {
		o.BMC.Password = fleet.Secret(t)
		s.fixed("the password is a secret here: it is stored, and shown to nobody", "keep nodes.conf from others' eyes: it still holds it")
		s.taken()
	}
}

func takeBMCAddress(s spot, o *object) {
	s.address(&o.BMC.Address, func(bits int) {
		if o.BMC.Netmask == 0 {
			o.BMC.Netmask = fleet.Netmask(bits)
		}
	})
}

func takeDriver(s spot, o *object) {
	t, ok := s.word()
	if !ok {
		return
	}
	driver := strings.ToLower(t)
	if driver != "lan" && driver != "lanplus" && driver != "redfish" {
		s.left(fmt.Sprintf("interface %.40q", t), "BMCs are reached by lan, lanplus or redfish here")
		return
	}
	o.BMC.Driver = driver
	s.taken()
}

func takeBMCTemplate(s spot, o *object) {
	t, ok := s.word()
	switch {
	case !ok:
	case fleet.CheckLabel("template", t) != nil:
		s.left(fmt.Sprintf("template %.80q", t), "a template is named without its directory")
	default:
		o.BMC.Template = t
		s.taken()
	}
}

// takeBMCTags takes the VLAN out of the tags, where Warewulf has it.
func takeBMCTags(s spot, o *object) {
	for at, e := range s.v.entries {
		if e.key != "vlan" {
			continue
		}
		vlan := s.inside(e, e.key)
		vlan.theirs, vlan.ours, vlan.path = "ipmi.tags.vlan", "bmc.vlan", "bmc.vlan"
		if t, ok := vlan.word(); ok && t != "off" {
			number(vlan, &o.BMC.VLAN, 4094)
		}
		rest := *s.v
		rest.entries = append(append([]entry{}, s.v.entries[:at]...), s.v.entries[at+1:]...)
		s.v = &rest
		break
	}
	s.tags(&o.BMC.Tags)
}
