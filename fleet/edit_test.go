package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// start4 returns the state of start in a cluster of format 4, with profiles base and gpu, which brings base, and nodes n2 and
// n3 of gpu.
func start4(t testing.TB) State {
	t.Helper()
	s := start(t)
	return mustApply(t, s, SetFormat{4}, edit(t, `
		{"profile":{"name":"base","image":"debian","kernel_args":["quiet"],"interfaces":[{"name":"default","netmask":24,"gateway":"10.1.0.254"}],"bmc":{"user":"admin","password":"YmFzZQ=="}}}
		{"profile":{"name":"gpu","profiles":["base"],"tags":{"gpu":"a100"}}}
		{"node":{"name":"n2","profiles":["gpu"],"interfaces":[{"name":"default","mac":"52:54:00:00:00:02","ip":"10.1.0.12"}],"bmc":{"address":"10.9.0.2"}}}
		{"node":{"name":"n3","profiles":["gpu"],"interfaces":[{"name":"default","mac":"52:54:00:00:00:03","ip":"10.1.0.13"}],"bmc":{"password":"bjM="}}}`))
}

// edit reads an Edit from JSON, one object to put after another.
func edit(t testing.TB, puts string, deletes ...Ref) Edit {
	t.Helper()
	e := Edit{Deletes: deletes}
	d := json.NewDecoder(strings.NewReader(puts))
	d.DisallowUnknownFields()
	for d.More() {
		var o Object
		if err := d.Decode(&o); err != nil {
			t.Fatalf("%s: %v", puts, err)
		}
		e.Puts = append(e.Puts, o)
	}
	return e
}

func mustApply(t testing.TB, s State, commands ...Command) State {
	t.Helper()
	for _, c := range commands {
		var err error
		if s, err = s.Apply(Entry{Command: c, At: noon, Who: "root"}, s.Revision()+1); err != nil {
			t.Fatalf("%s: %v", c.Kind(), err)
		}
	}
	return s
}

func TestEditRefusals(t *testing.T) {
	gone := func(kind, name string) []Ref { return []Ref{{kind, name}} }
	for what, c := range map[string]struct {
		puts    string
		deletes []Ref
		want    error
		text    string
	}{
		"nothing":                       {``, nil, ErrInvalid, "no object"},
		"an object of no kind":          {`{}`, nil, ErrInvalid, "object 1"},
		"an object of two kinds":        {`{"node":{"name":"n9"},"profile":{"name":"p"}}`, nil, ErrInvalid, "object 1"},
		"one object twice":              {`{"node":{"name":"n9"}} {"node":{"name":"n9"}}`, nil, ErrInvalid, "node n9 twice"},
		"one to put and to delete":      {`{"node":{"name":"n2"}}`, gone("node", "n2"), ErrInvalid, "node n2 twice"},
		"an unknown kind":               {``, gone("rack", "r1"), ErrInvalid, "rack"},
		"the cluster is deleted":        {``, gone("cluster", ""), ErrInvalid, "cluster"},
		"an unknown node is deleted":    {``, gone("node", "n9"), ErrNotFound, "node n9"},
		"an unknown profile is, too":    {``, gone("profile", "p"), ErrNotFound, "profile p"},
		"an unknown network is, too":    {``, gone("network", "ib"), ErrNotFound, "network ib"},
		"a used profile is deleted":     {``, gone("profile", "gpu"), ErrInUse, "nodes n[2-3]"},
		"a nested profile is deleted":   {``, gone("profile", "base"), ErrInUse, "profile gpu"},
		"a used network is deleted":     {``, gone("network", "boot"), ErrInUse, "nodes n[1-3]"},
		"a used network is replaced":    {`{"network":{"name":"other","subnet":"10.1.0.0/28","dhcp":"full"}}`, gone("network", "boot"), ErrInvalid, "whose netmask is 255.255.255.240"},
		"overlapping networks":          {`{"network":{"name":"a","subnet":"10.4.0.0/16","dhcp":"off"}} {"network":{"name":"b","subnet":"10.4.1.0/24","dhcp":"off"}}`, nil, ErrInvalid, "overlaps"},
		"a network that is too small":   {`{"network":{"name":"boot","subnet":"10.1.0.0/29","dhcp":"full"}}`, nil, ErrInvalid, "node n1: interface default: address 10.1.0.11 would be in no network"},
		"a netmask that is left behind": {`{"network":{"name":"boot","subnet":"10.1.0.0/16","dhcp":"full"}}`, nil, ErrInvalid, "netmask 255.255.255.0: address 10.1.0.12 is in network boot (10.1.0.0/16), whose netmask is 255.255.0.0"},

		"an unknown profile of a node":     {`{"node":{"name":"n9","profiles":["nosuch"]}}`, nil, ErrNotFound, `node n9: profile "nosuch"`},
		"an unknown one is negated":        {`{"node":{"name":"n9","profiles":["~nosuch"]}}`, nil, ErrNotFound, `profile "nosuch"`},
		"an unknown profile of a profile":  {`{"profile":{"name":"p","profiles":["nosuch"]}}`, nil, ErrNotFound, `profile p: profile "nosuch"`},
		"a profile that names itself":      {`{"profile":{"name":"p","profiles":["p"]}}`, nil, ErrInvalid, "p brings p"},
		"a cycle":                          {`{"profile":{"name":"base","profiles":["gpu"]}}`, nil, ErrInvalid, "base brings gpu brings base"},
		"a cycle of new ones":              {`{"profile":{"name":"a","profiles":["b"]}} {"profile":{"name":"b","profiles":["c"]}} {"profile":{"name":"c","profiles":["a"]}}`, nil, ErrInvalid, "a brings b brings c brings a"},
		"an unknown image of a profile":    {`{"profile":{"name":"p","image":"rocky"}}`, nil, ErrNotFound, `profile p: image "rocky"`},
		"an unknown image of a node":       {`{"node":{"name":"n9","image":"rocky"}}`, nil, ErrNotFound, `node n9: image "rocky"`},
		"an address of a profile":          {`{"profile":{"name":"p","interfaces":[{"name":"default","ip":"10.1.0.9"}]}}`, nil, ErrInvalid, "interfaces.default.ip is each node's own"},
		"a MAC of a profile":               {`{"profile":{"name":"p","interfaces":[{"name":"default","mac":"52:54:00:00:00:09"}]}}`, nil, ErrInvalid, "interfaces.default.mac is each node's own"},
		"an IPv6 address of a profile":     {`{"profile":{"name":"p","interfaces":[{"name":"default","ip6":"fd00::9"}]}}`, nil, ErrInvalid, "ip6 is each node's own"},
		"an address of a profile's BMC":    {`{"profile":{"name":"p","bmc":{"address":"10.9.0.9"}}}`, nil, ErrInvalid, "bmc.address is each node's own"},
		"a profile that is called node":    {`{"profile":{"name":"node"}}`, nil, ErrInvalid, `"node"`},
		"a profile without a name":         {`{"profile":{"init":"/a"}}`, nil, ErrInvalid, "profile name"},
		"a MAC that another has":           {`{"node":{"name":"n9","interfaces":[{"name":"default","mac":"52:54:00:00:00:02"}]}}`, nil, ErrExists, "node n2 has it"},
		"an address that another has":      {`{"node":{"name":"n9","interfaces":[{"name":"default","ip":"10.1.0.12"}]}}`, nil, ErrExists, "node n2 has it"},
		"one address of two new nodes":     {`{"node":{"name":"n8","interfaces":[{"name":"default","ip":"10.1.0.18"}]}} {"node":{"name":"n9","interfaces":[{"name":"default","ip":"10.1.0.18"}]}}`, nil, ErrExists, "node n8 has it"},
		"one IPv6 address of two nodes":    {`{"node":{"name":"n8","interfaces":[{"name":"default","ip6":"fd00::8"}]}} {"node":{"name":"n9","interfaces":[{"name":"default","ip6":"fd00::8"}]}}`, nil, ErrExists, "node n8 has it"},
		"one IPv6 address twice in a node": {`{"node":{"name":"n8","interfaces":[{"name":"a","ip6":"fd00::8"},{"name":"b","ip6":"fd00::8"}]}}`, nil, ErrInvalid, "a and b"},
		"a BMC that another has":           {`{"node":{"name":"n9","bmc":{"address":"10.9.0.2"}}}`, nil, ErrExists, "the BMC of node n2 has it"},
		"an address that a BMC has":        {`{"network":{"name":"bmc","subnet":"10.9.0.0/24","dhcp":"off"}} {"node":{"name":"n9","interfaces":[{"name":"ib0","ip":"10.9.0.2"}]}}`, nil, ErrExists, "the BMC of node n2 has it"},
		"a BMC at a node's address":        {`{"node":{"name":"n9","bmc":{"address":"10.1.0.12"}}}`, nil, ErrExists, "node n2 has it"},
		"a BMC at the node's own address":  {`{"node":{"name":"n9","interfaces":[{"name":"default","ip":"10.1.0.19"}],"bmc":{"address":"10.1.0.19"}}}`, nil, ErrInvalid, "interface default has it"},
		"a BMC at the gateway":             {`{"node":{"name":"n9","bmc":{"address":"10.1.0.254"}}}`, nil, ErrInvalid, "gateway of network boot"},
		"an address in no network":         {`{"node":{"name":"n9","interfaces":[{"name":"default","ip":"10.8.0.1"}]}}`, nil, ErrInvalid, "in no network"},
		"another netmask":                  {`{"node":{"name":"n2","profiles":["gpu"],"interfaces":[{"name":"default","ip":"10.1.0.12","netmask":16}]}}`, nil, ErrInvalid, "whose netmask is 255.255.255.0"},
		"a gateway elsewhere":              {`{"node":{"name":"n2","interfaces":[{"name":"default","ip":"10.1.0.12","gateway":"10.2.0.1"}]}}`, nil, ErrInvalid, "gateway: bad address 10.2.0.1: outside network boot"},
		"a gateway that it is itself":      {`{"node":{"name":"n2","interfaces":[{"name":"default","ip":"10.1.0.12","gateway":"10.1.0.12"}]}}`, nil, ErrInvalid, "the interface's own"},
		"an IPv6 gateway elsewhere":        {`{"node":{"name":"n9","interfaces":[{"name":"default","ip6":"fd00::8","gateway6":"fd01::1"}]}}`, nil, ErrInvalid, "another address of fd00::/64"},
		"a primary network that is not":    {`{"node":{"name":"n2","profiles":["gpu"],"primary_network":"ib0"}}`, nil, ErrInvalid, "no such interface"},

		"a profile's netmask that does not fit":   {`{"profile":{"name":"base","interfaces":[{"name":"default","netmask":16}]}}`, nil, ErrInvalid, "profile base: node n2: interface default: bad netmask 255.255.0.0"},
		"a profile's gateway that does not fit":   {`{"profile":{"name":"gpu","profiles":["base"],"interfaces":[{"name":"default","gateway":"10.1.0.13"}]}}`, nil, ErrInvalid, "profile gpu: node n3: interface default: bad gateway"},
		"a profile's primary network that is not": {`{"profile":{"name":"gpu","primary_network":"ib0"}}`, nil, ErrInvalid, "profile gpu: bad node n2: primary network ib0"},
		"too many arguments together":             {fmt.Sprintf(`{"profile":{"name":"gpu","profiles":["base"],"kernel_args":[%s"x"]}}`, strings.Repeat(`"y",`, 127)), nil, ErrInvalid, "with what its profiles say: node n2: bad kernel arguments: 129, at most 128"},
	} {
		t.Run(what, func(t *testing.T) {
			before := start4(t)
			after, err := before.Apply(Entry{Command: edit(t, c.puts, c.deletes...)}, before.Revision()+1)
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) || strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("got %v, want %q and the text %q", err, c.want, c.text)
			}
			if got, want := after.Advance(before.Revision()).Hash(), before.Hash(); got != want {
				t.Error("a refused change changed the state")
			}
		})
	}
}

// TestSettingsAreChecked puts one profile each with one thing that cannot be.
func TestSettingsAreChecked(t *testing.T) {
	many := func(n int, one string) string { return strings.Join(slices.Repeat([]string{one}, n), ",") }
	for settings, text := range map[string]string{
		`"comment":"a\nb"`:                            "control character",
		`"cluster":"a b"`:                             "cluster",
		`"kernel_version":"a b"`:                      "one word",
		`"init":"sbin/init"`:                          "absolute path",
		`"init":"/sbin/../init"`:                      "shortest form",
		`"init":"/sbin/$x"`:                           "one word",
		`"root":"nfs"`:                                "overlay or tmpfs",
		`"rack":"R 1"`:                                "rack",
		`"group":"a/b"`:                               "group",
		`"switch_port":"a\tb"`:                        "control character",
		`"reseed":"sometimes"`:                        "until-rollout-done",
		`"reseed":"-3m"`:                              "duration",
		`"upload_limit":1`:                            "at least 65536",
		`"kernel_args":["a b"]`:                       "one word",
		`"system_overlays":["a/b"]`:                   "system overlay",
		`"runtime_overlays":["~"]`:                    "runtime overlay",
		`"system_overlays":[` + many(65, `"a"`) + `]`: "at most 64",
		`"tags":{"a b":"c"}`:                          "tag",
		`"tags":{"a":"b\u0000"}`:                      "control character",
		`"tags":{"a":"` + strings.Repeat("x", MaxTag+1) + `"}`:                                             "longer",
		`"resources":{"a b":1}`:                                                                            "resource",
		`"resources":{"a":"` + strings.Repeat("x", MaxResource) + `"}`:                                     "at most 65536",
		`"resources":{"a":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`:                      "33 deep",
		`"interfaces":[{"name":"default"},{"name":"default"}]`:                                             "two interfaces",
		`"interfaces":[{"name":"Default"}]`:                                                                "interface name",
		`"interfaces":[{"name":"default","type":"a b"}]`:                                                   "type",
		`"interfaces":[{"name":"default","device":"a/b"}]`:                                                 "without : and /",
		`"interfaces":[{"name":"default","device":"abcdefghijklmnop"}]`:                                    "1 to 15",
		`"interfaces":[{"name":"default","netmask":33}]`:                                                   "33 bits",
		`"interfaces":[{"name":"default","gateway":"fd00::1"}]`:                                            "IPv4",
		`"interfaces":[{"name":"default","prefix6":129}]`:                                                  "129 bits",
		`"interfaces":[{"name":"default","gateway6":"10.1.0.1"}]`:                                          "IPv6",
		`"interfaces":[{"name":"default","gateway6":"fe80::1%eth0"}]`:                                      "zone",
		`"interfaces":[{"name":"default","mtu":67}]`:                                                       "68 to 65535",
		`"interfaces":[{"name":"default","tags":{"a b":""}}]`:                                              "interface default",
		`"bmc":{"gateway":"224.0.0.1"}`:                                                                    "BMC",
		`"bmc":{"netmask":-1}`:                                                                             "netmask",
		`"bmc":{"port":65536}`:                                                                             "port",
		`"bmc":{"vlan":4095}`:                                                                              "4094",
		`"bmc":{"tags":{"vlan":"42"}}`:                                                                     "want bmc.vlan instead",
		`"bmc":{"driver":"telnet"}`:                                                                        "redfish",
		`"bmc":{"escape_char":"ab"}`:                                                                       "one printable",
		`"bmc":{"user":"a\nb"}`:                                                                            "user",
		`"bmc":{"password":"AA=="}`:                                                                        "password",
		`"bmc":{"template":"a/b"}`:                                                                         "template",
		`"disks":[{"device":"sda"}]`:                                                                       "absolute path",
		`"disks":[{"device":"/dev/sda"},{"device":"/dev/sda"}]`:                                            "twice",
		`"disks":[{"device":"/dev/sda","partitions":[{"label":""}]}]`:                                      "label",
		`"disks":[{"device":"/dev/sda","partitions":[{"label":"a"},{"label":"a"}]}]`:                       "twice",
		`"disks":[{"device":"/dev/sda","partitions":[{"label":"a","number":1},{"label":"b","number":1}]}]`: "number 1",
		`"disks":[{"device":"/dev/sda","partitions":[{"label":"a","number":129}]}]`:                        "1 to 128",
		`"disks":[{"device":"/dev/sda","partitions":[{"label":"a","size_mib":-1}]}]`:                       "MiB",
		`"disks":[{"device":"/dev/sda","partitions":[{"label":"a","guid":"x"}]}]`:                          "GUID",
		`"filesystems":[{"device":"/dev/sda1"},{"device":"/dev/sda1"}]`:                                    "twice",
		`"filesystems":[{"device":"/dev/sda1","format":"a b"}]`:                                            "format",
		`"filesystems":[{"device":"/dev/sda1","path":"scratch"}]`:                                          "absolute path",
		`"filesystems":[{"device":"/dev/sda1","mount_options":"a b"}]`:                                     "mount options",
		`"filesystems":[{"device":"/dev/sda1","options":["a b"]}]`:                                         "option",
		`"profiles":[` + many(65, `"a"`) + `]`:                                                             "at most 64",
		`"profiles":["~~a"]`:                                                                               "profile name",
	} {
		s := start4(t)
		for _, put := range []string{`{"profile":{"name":"p",` + settings + `}}`, `{"node":{"name":"n9",` + settings + `}}`} {
			if _, err := s.Apply(Entry{Command: edit(t, put)}, s.Revision()+1); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), text) {
				t.Errorf("%.200s: %v, want ErrInvalid and %q", put, err, text)
			}
		}
	}
}

// TestEverythingCanBeSaid puts a profile and a node that say all that they can.
func TestEverythingCanBeSaid(t *testing.T) {
	settings := `"comment":"of the lab","cluster":"Lab_1","image":"debian:1","kernel_version":"6.1.0-40-amd64","kernel_args":["console=ttyS0,115200","~quiet"],"init":"/usr/lib/systemd/systemd","root":"tmpfs",
		"system_overlays":["wwinit","~ssh.host_keys"],"runtime_overlays":["hosts"],"primary_network":"default","rack":"r1","switch_port":"sw1 Gi1/0/4","reseed":"90m","upload_limit":1048576,"group":"blue",
		"tags":{"IPXEMenuEntry":"dracut"},"resources":{"fstab":[{"spec":"nfs1:/home","file":"/home"}],"localusers":{"alice":{"uid":1000}}},
		"disks":[{"device":"/dev/disk/by-id/nvme-eui.0025","wipe_table":true,"partitions":[{"label":"scratch","number":1,"size_mib":1024,"start_mib":1,"type_guid":"0fc63daf-8483-4772-8e79-3d69d8477de4","guid":"0FC63DAF-8483-4772-8E79-3D69D8477DE4","wipe_partition_entry":true,"should_exist":true,"resize":false}]}],
		"filesystems":[{"device":"/dev/disk/by-partlabel/scratch","format":"ext4","path":"/scratch","wipe":true,"label":"scratch","uuid":"0fc63daf","options":["-O","^has_journal"],"mount_options":"noatime,ro"},{"device":"/dev/sda2","format":"swap","path":"swap"}]`
	bmc := `"netmask":24,"gateway":"10.9.0.254","user":"ADMIN","password":"c2VjcmV0","port":623,"driver":"lanplus","vlan":42,"escape_char":"&","write":true,"template":"ipmitool.tmpl","tags":{"bit-rate":"115200"}`
	i := `"name":"default","type":"InfiniBand","device":"bond0.100","netmask":24,"gateway":"10.1.0.254","prefix6":64,"gateway6":"fe80::1","mtu":9000,"onboot":false,"tags":{"DNS1":"10.1.0.1"}`
	s := mustApply(t, start4(t), edit(t, `{"profile":{"name":"All_of.it","profiles":["gpu"],`+settings+`,"interfaces":[{`+i+`}],"bmc":{`+bmc+`}}}
		{"node":{"name":"n9","profiles":["All_of.it","~base"],"asset_key":"tag 9",`+settings+`,"interfaces":[{`+i+`,"mac":"52:54:00:00:00:09","ip":"10.1.0.9","ip6":"fd00::9"}],"bmc":{`+bmc+`,"address":"10.9.0.9"}}}`))
	reread(t, s)
	if got := s.UsersOf("base"); !slices.Equal(got, []string{"n2", "n3", "n9"}) {
		t.Errorf("users of base: %s", got)
	}
	n, err := s.Resolve("n9")
	if err != nil || n.Interfaces[0].Gateway != ip("10.1.0.254") || string(n.BMC.Password) != "secret" || n.Tags["gpu"] != "a100" {
		t.Errorf("%+v, %v", n, err)
	}
	if got, ok := s.NodeByIP(ip("fd00::9")); !ok || got.Name != "n9" {
		t.Errorf("fd00::9 is of %q", got.Name)
	}
	if _, ok := s.NodeByIP(ip("10.9.0.9")); ok {
		t.Error("a BMC's address is a node's")
	}
}

func TestEditKeepsWhatIsAsItIsPut(t *testing.T) {
	s := start4(t)
	want := s
	// In another order, with another revision, and with empty things that say nothing.
	s = mustApply(t, s, edit(t, `{"node":{"name":"n3","revision":99,"discover":"2026-11-23T13:00:00Z","profiles":["gpu"],"kernel_args":[],"tags":{},"disks":[],"interfaces":[{"ip":"10.1.0.13","name":"default","mac":"52:54:00:00:00:03","tags":{}}]}}
		{"profile":{"name":"base","bmc":{"user":"admin"},"image":"debian","kernel_args":["quiet"],"interfaces":[{"name":"default","netmask":24,"gateway":"10.1.0.254"}]}}
		{"network":{"name":"boot","subnet":"10.1.0.0/24","gateway":"10.1.0.254","dhcp":"full","discovery":"10.1.0.200-10.1.0.220"}} {"cluster":{}}`))
	if s.Advance(want.Revision()).Hash() != want.Hash() {
		t.Error("putting what is there changed the state")
	}
}

func TestEditPutsWhole(t *testing.T) {
	s := mustApply(t, start4(t), edit(t, `{"node":{"name":"n2","rack":"r1"}}`))
	if n, _ := s.Node("n2"); encoded(t, n) != fmt.Sprintf(`{"name":"n2","rack":"r1","revision":%d}`, s.Revision()) {
		t.Errorf("n2 is %s", encoded(t, n))
	}
	if _, ok := s.NodeByIP(ip("10.1.0.12")); ok {
		t.Error("its former address is indexed")
	}
	if err := checkIndexes(s); err != nil {
		t.Error(err)
	}
}

func TestEditWritesSecrets(t *testing.T) {
	password := func(s State, node string) string { n, _ := s.Resolve(node); return string(n.BMC.Password) }
	s := start4(t)
	if got, want := password(s, "n2")+password(s, "n3"), "basen3"; got != want {
		t.Fatalf("passwords %s, want %s", got, want)
	}
	kept := mustApply(t, s, edit(t, `{"node":{"name":"n3","rack":"r1","profiles":["gpu"]}} {"profile":{"name":"base"}}`))
	if got, want := password(kept, "n2")+password(kept, "n3"), "basen3"; got != want {
		t.Errorf("passwords %s after a change without, want %s", got, want)
	}
	cleared := mustApply(t, s, edit(t, `{"node":{"name":"n3","profiles":["gpu"],"bmc":{"password":""}}}`))
	if got, want := password(cleared, "n3"), "base"; got != want {
		t.Errorf("password %s after it was cleared, want %s", got, want)
	}
	n, _ := s.Node("n3")
	if got := encoded(t, n.WithoutSecrets()); strings.Contains(got, "password") {
		t.Errorf("n3 is %s without secrets", got)
	}
	set := mustApply(t, s, edit(t, `{"node":{"name":"n3","profiles":["gpu"],"bmc":{"password":"bmV3"}}}`))
	if got, want := password(set, "n3"), "new"; got != want {
		t.Errorf("password %s, want %s", got, want)
	}
}

// TestSecretsGoAlong renames n3, copies base, and gives n2 what n3 had, in one edit.
func TestSecretsGoAlong(t *testing.T) {
	s := mustApply(t, start4(t), edit(t, `
		{"node":{"name":"n4","profiles":["gpu"]},"secrets_of":"n3"}
		{"profile":{"name":"copy"},"secrets_of":"base"}
		{"node":{"name":"n2","bmc":{"password":"b3du"}},"secrets_of":"n3"}`, Ref{ObjectNode, "n3"}))
	n4, _ := s.Node("n4")
	n2, _ := s.Node("n2")
	p, _ := s.Profile("copy")
	if string(n4.BMC.Password) != "n3" || string(n2.BMC.Password) != "own" || string(p.BMC.Password) != "base" {
		t.Errorf("passwords %q, %q and %q", []byte(n4.BMC.Password), []byte(n2.BMC.Password), []byte(p.BMC.Password))
	}
	for puts, want := range map[string]error{
		`{"node":{"name":"n5"},"secrets_of":"n3"}`:                             ErrNotFound,
		`{"profile":{"name":"p"},"secrets_of":"n4"}`:                           ErrNotFound,
		`{"network":{"name":"boot","subnet":"10.1.0.0/16"},"secrets_of":"n4"}`: ErrInvalid,
	} {
		if _, err := s.Apply(Entry{Command: edit(t, puts), At: noon}, s.Revision()+1); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", puts, err, want)
		}
	}
}

func TestEditsAreOneChange(t *testing.T) {
	for what, c := range map[string]struct {
		puts    string
		deletes []Ref
	}{
		"two nodes swap addresses":              {`{"node":{"name":"n2","interfaces":[{"name":"default","mac":"52:54:00:00:00:03","ip":"10.1.0.13"}]}} {"node":{"name":"n3","interfaces":[{"name":"default","mac":"52:54:00:00:00:02","ip":"10.1.0.12"}],"bmc":{"address":"10.9.0.2"}}}`, nil},
		"a node takes what a deleted one had":   {`{"node":{"name":"n9","interfaces":[{"name":"default","mac":"52:54:00:00:00:02","ip":"10.1.0.12"}],"bmc":{"address":"10.9.0.2"}}}`, []Ref{{"node", "n2"}}},
		"a node before its profile and network": {`{"node":{"name":"n9","profiles":["late"],"interfaces":[{"name":"ib0","ip":"10.7.0.9"}]}} {"profile":{"name":"late","profiles":["later"]}} {"profile":{"name":"later"}} {"network":{"name":"ib","subnet":"10.7.0.0/24","dhcp":"off"}}`, nil},
		"a profile gets another name":           {`{"profile":{"name":"gpus","profiles":["base"]}} {"node":{"name":"n2","profiles":["gpus"]}} {"node":{"name":"n3","profiles":["gpus"]}}`, []Ref{{"profile", "gpu"}}},
		"a profile goes with its users":         {``, []Ref{{"profile", "gpu"}, {"profile", "base"}, {"node", "n2"}, {"node", "n3"}}},
		"a network gets another name":           {`{"network":{"name":"lan","subnet":"10.1.0.0/24","gateway":"10.1.0.254","dhcp":"full"}}`, []Ref{{"network", "boot"}}},
		"a network is cut in two":               {`{"network":{"name":"boot","subnet":"10.1.0.0/25","dhcp":"full"}} {"network":{"name":"boot2","subnet":"10.1.0.128/25","dhcp":"full"}} {"profile":{"name":"base"}}`, nil},
		"networks swap their names":             {`{"network":{"name":"boot","subnet":"10.5.0.0/24","dhcp":"full"}} {"network":{"name":"other","subnet":"10.1.0.0/24","dhcp":"full"}}`, nil},
		"the direction between profiles turns":  {`{"profile":{"name":"base","profiles":["gpu"]}} {"profile":{"name":"gpu"}}`, nil},
		"the cluster":                           {`{"cluster":{"authorized_keys":["ssh-ed25519 AAAA admin"],"seeding":{"node_upload":1048576}}}`, nil},
	} {
		t.Run(what, func(t *testing.T) {
			s := start4(t)
			// n4 waits for a machine.
			s = mustApply(t, s, edit(t, `{"node":{"name":"n4","interfaces":[{"name":"default","ip":"10.1.0.14"}]}}`), ArmDiscovery{Names: []string{"n4"}, Until: noon.Add(time.Hour)})
			after := mustApply(t, s, edit(t, c.puts, c.deletes...))
			if err := checkIndexes(reread(t, after)); err != nil {
				t.Error(err)
			}
			if err := checkIndexes(after); err != nil {
				t.Error(err)
			}
			reversed := edit(t, c.puts, c.deletes...)
			slices.Reverse(reversed.Puts)
			slices.Reverse(reversed.Deletes)
			if again := mustApply(t, s, reversed); again.Hash() != after.Hash() {
				t.Error("the order of the objects matters")
			}
			network, _ := after.NetworkOf(ip("10.1.0.14"))
			if n, _ := after.Node("n4"); n.Discover.IsZero() || !after.Armed(network.Name, noon) {
				t.Errorf("n4 is no longer armed, on network %q", network.Name)
			}
		})
	}
}
