package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
)

// A flagName is how the flag of a field is called.
type flagName struct {
	name, short string
	also        string // another name of it
}

// flagNames returns the names of flags that are not their fields' paths: those that Warewulf's wwctl has for the same.
func flagNames() map[string]flagName {
	return map[string]flagName{
		"profiles":                       {"profile", "P", ""},
		"cluster":                        {"cluster", "c", ""},
		"kernel_version":                 {"kernelversion", "", ""},
		"kernel_args":                    {"kernelargs", "A", "kernel-arg"},
		"init":                           {"init", "i", ""},
		"system_overlays":                {"system-overlays", "O", ""},
		"runtime_overlays":               {"runtime-overlays", "R", ""},
		"primary_network":                {"primarynet", "p", ""},
		"asset_key":                      {"asset", "", ""},
		"tags.*":                         {"tagadd", "", ""},
		"resources.*":                    {"resource", "", ""},
		"interfaces.*.type":              {"type", "T", ""},
		"interfaces.*.device":            {"netdev", "N", ""},
		"interfaces.*.mac":               {"hwaddr", "H", "mac"},
		"interfaces.*.ip":                {"ipaddr", "I", "ip"},
		"interfaces.*.netmask":           {"netmask", "M", ""},
		"interfaces.*.gateway":           {"gateway", "G", ""},
		"interfaces.*.ip6":               {"ipaddr6", "", ""},
		"interfaces.*.prefix6":           {"prefixlen6", "", ""},
		"interfaces.*.gateway6":          {"gateway6", "", ""},
		"interfaces.*.mtu":               {"mtu", "", ""},
		"interfaces.*.onboot":            {"onboot", "", ""},
		"interfaces.*.tags.*":            {"nettagadd", "", ""},
		"bmc.address":                    {"ipmiaddr", "", ""},
		"bmc.netmask":                    {"ipminetmask", "", ""},
		"bmc.gateway":                    {"ipmigateway", "", ""},
		"bmc.user":                       {"ipmiuser", "", ""},
		"bmc.password":                   {"ipmipass", "", ""},
		"bmc.port":                       {"ipmiport", "", ""},
		"bmc.driver":                     {"ipmiinterface", "", ""},
		"bmc.vlan":                       {"ipmivlan", "", ""},
		"bmc.escape_char":                {"ipmiescapechar", "", ""},
		"bmc.write":                      {"ipmiwrite", "", ""},
		"bmc.template":                   {"ipmitemplate", "", ""},
		"bmc.tags.*":                     {"ipmitagadd", "", ""},
		"disks.*.wipe_table":             {"diskwipe", "", ""},
		"disks.*.partitions.*.number":    {"partnumber", "", ""},
		"disks.*.partitions.*.size_mib":  {"partsize", "", ""},
		"disks.*.partitions.*.start_mib": {"partstart", "", ""},
		"disks.*.partitions.*.type_guid": {"parttype", "", ""},
		"disks.*.partitions.*.guid":      {"partguid", "", ""},
		"disks.*.partitions.*.wipe_partition_entry": {"partwipe", "", ""},
		"disks.*.partitions.*.should_exist":         {"partcreate", "", ""},
		"disks.*.partitions.*.resize":               {"partresize", "", ""},
		"filesystems.*.format":                      {"fsformat", "", ""},
		"filesystems.*.path":                        {"fspath", "", ""},
		"filesystems.*.wipe":                        {"fswipe", "", ""},
		"filesystems.*.label":                       {"fslabel", "", ""},
		"filesystems.*.uuid":                        {"fsuuid", "", ""},
		"filesystems.*.options":                     {"fsoptions", "", ""},
		"filesystems.*.mount_options":               {"fsmountoptions", "", ""},
	}
}

// nameOf returns the names of a field's flag. One that flagNames does not have is called as its path.
func nameOf(f fleet.Field) flagName {
	if n, ok := flagNames()[f.Path]; ok {
		return n
	}
	return flagName{name: strings.NewReplacer("_", "-", ".", "-").Replace(f.Path)}
}

// hasFlag reports whether a noun has a flag for a field.
func hasFlag(of noun, f fleet.Field) bool {
	return f.Kind != fleet.KindTime && (of.kind == fleet.ObjectNode || !f.NodeOnly)
}

// scopes are the flags that name the parts whose fields are meant.
type scopes struct {
	net, disk, part, fs string
}

func (s *scopes) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.net, "netname", "default", "`name` of the interface that is meant")
	f.StringVar(&s.net, "interface", "default", "the `name` in other words")
	f.StringVar(&s.disk, "diskname", "", "`path` of the disk that is meant")
	f.StringVar(&s.part, "partname", "", "`label` of the partition that is meant, on the disk of --diskname")
	f.StringVar(&s.fs, "fsname", "", "`path` of the block device of the filesystem that is meant")
}

// path returns the path of a field in the parts that s names, and for a field of which keys are chosen, in that one.
func (s *scopes) path(f fleet.Field, key ...string) (string, error) {
	var names []string
	switch {
	case strings.HasPrefix(f.Path, "interfaces."):
		names = []string{s.net}
	case strings.HasPrefix(f.Path, "disks.*.partitions."):
		names = []string{s.disk, s.part}
	case strings.HasPrefix(f.Path, "disks."):
		names = []string{s.disk}
	case strings.HasPrefix(f.Path, "filesystems."):
		names = []string{s.fs}
	}
	if at := slices.Index(names, ""); at >= 0 {
		missing := map[string]string{"i": "--netname", "d": "--diskname", "f": "--fsname"}[f.Path[:1]]
		if at == 1 {
			missing = "--partname"
		}
		return "", usagef("--%s: %s is missing, which says of what", nameOf(f).name, missing)
	}
	return fleet.PathOf(f, append(names, key...)...), nil
}

// fieldFlags are a flag for each field of a noun.
type fieldFlags struct {
	scopes
	all  []*fieldValue // in the order of the table of fields
	gone []goneFlag    // what the flags that take away name
}

// A goneFlag takes parts or keys away.
type goneFlag struct {
	name  string // of the flag
	words []string
	path  func(word string) (string, error)
}

// add adds the flags to c.
func (o *fieldFlags) add(c *cobra.Command, g *global, of noun) {
	f := c.Flags()
	f.SortFlags = false
	for _, field := range fleet.Fields() {
		if !hasFlag(of, field) {
			continue
		}
		v := &fieldValue{field: field}
		o.all = append(o.all, v)
		names := nameOf(field)
		flag := f.VarPF(&namedValue{v, names.name, true}, names.name, names.short, v.usage())
		if field.Kind == fleet.KindBool {
			flag.NoOptDefVal = "true"
		}
		if names.also != "" {
			usage := "same as --" + names.name
			if field.Kind == fleet.KindList {
				usage = "one word of --" + names.name + ", commas and all (repeatable)"
			}
			f.Var(&namedValue{v, names.also, false}, names.also, usage)
		}
	}
	o.scopes.add(c)
	c.PreRunE = func(c *cobra.Command, _ []string) error { return o.readSecrets(c) }
	completeFlag(c, "image", g.names(math.MaxInt, imageNames))
	completeFlag(c, "profile", g.words(math.MaxInt, profileNames))
}

// given reports whether any flag of a field was given.
func (o *fieldFlags) given() bool {
	return slices.ContainsFunc(o.all, func(v *fieldValue) bool { return v.flag != "" })
}

// unsaid is what Warewulf's users write to take a value away.
func unsaid(value string) bool { return value == "UNSET" || value == "UNDEF" }

// A fieldValue is what flags say of one field.
type fieldValue struct {
	field fleet.Field
	flag  string   // the one that was given last; "" if none was
	words []string // the value; the words of a list; KEY=VALUE for fields with keys
}

// keyed reports whether users choose the last name of the field's path.
func (v *fieldValue) keyed() bool { return strings.HasSuffix(v.field.Path, ".*") }

// usage describes the flag.
func (v *fieldValue) usage() string {
	switch {
	case v.field.Kind == fleet.KindValue:
		return v.field.Doc + " (repeatable)"
	case v.keyed(), v.field.Kind == fleet.KindList:
		return v.field.Doc + " (repeatable, or with commas)"
	case v.field.NodeOnly && v.field.Kind == fleet.KindAddress:
		return v.field.Doc + "; of the first node: the others count up from it"
	case v.field.NodeOnly && v.field.Kind == fleet.KindMAC:
		return v.field.Doc + "; for several nodes one each, with commas"
	case v.field.Secret:
		return v.field.Doc + "; - reads it from the standard input, so that no other process sees it"
	}
	return v.field.Doc
}

// A namedValue is a fieldValue under one of its names.
type namedValue struct {
	*fieldValue
	name  string
	split bool // whether commas stand between words
}

func (v *namedValue) String() string { return "" }

// Type is what stands for the value in the help.
func (v *namedValue) Type() string {
	switch {
	case v.field.Kind == fleet.KindValue:
		return "NAME=JSON"
	case v.keyed():
		return "KEY=VALUE"
	case !v.split && v.field.Kind == fleet.KindList:
		return "word"
	}
	return string(v.field.Kind)
}

// Set takes what the command line says.
func (v *namedValue) Set(s string) error {
	first := v.flag == ""
	v.flag = v.name
	several := v.keyed() || v.field.Kind == fleet.KindList
	if !several || first || s == "" || unsaid(s) {
		v.words = nil
	}
	if s == "" || unsaid(s) {
		return nil
	}
	words := []string{s}
	if several && v.split && v.field.Kind != fleet.KindValue {
		var err error
		if words, err = csv.NewReader(strings.NewReader(s)).Read(); err != nil {
			return errors.New("want words with commas between; one that has commas itself stands in double quotes")
		}
	}
	for _, w := range words {
		if v.field.Kind == fleet.KindList && strings.ContainsAny(w, " \t\n") {
			return fmt.Errorf("%q: want one word without blanks", w)
		}
		if key, value, found := strings.Cut(w, "="); v.keyed() && (!found || key == "" || value == "") {
			return fmt.Errorf("%q: want KEY=VALUE", w)
		}
	}
	v.words = append(v.words, words...)
	return nil
}
