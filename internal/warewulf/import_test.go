package warewulf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config"
)

// readText reads a site that is two files; no warewulf.conf if server is "".
func readText(t testing.TB, nodes, server string) Site {
	t.Helper()
	files := fstest.MapFS{"nodes.conf": {Data: []byte(nodes)}}
	if server != "" {
		files["warewulf.conf"] = &fstest.MapFile{Data: []byte(server)}
	}
	site, err := ReadFS(files)
	if err != nil {
		t.Fatalf("%s\n%v", nodes, err)
	}
	return site
}

// cluster returns a state with the images that a site names, and nothing else.
func cluster(t testing.TB, site Site) fleet.State {
	t.Helper()
	key := make(fleet.Secret, 32)
	blob := fleet.Blob{Digest: fleet.Digest{1}, Size: 1}
	commands := []fleet.Command{fleet.InitCluster{Cluster: fleet.Cluster{Name: "c", ID: "c", CA: key, CAKey: key, MeshKey: key, TokenKey: key, IDKey: key,
		Format: fleet.Format, Controllers: []fleet.Controller{{ID: "head", Address: netip.MustParseAddr("127.0.0.1"), Ports: fleet.DefaultPorts}}}}}
	for _, i := range site.Images {
		if i.Used {
			commands = append(commands, fleet.AddImageVersion{Image: i.Name, Holders: []string{"head"}, Version: fleet.ImageVersion{Root: blob, Torrent: blob, Kernel: blob, Initramfs: blob,
				Agent: fleet.Digest{1}, KernelRelease: "6.1.0", Arch: "amd64", Source: "test", Imported: time.Unix(1e9, 0)}})
		}
	}
	var s fleet.State
	for _, c := range commands {
		s = apply(t, s, c)
	}
	return s
}

func apply(t testing.TB, s fleet.State, c fleet.Command) fleet.State {
	t.Helper()
	next, err := s.Apply(fleet.Entry{Command: c}, s.Revision()+1)
	if err != nil {
		t.Fatalf("%s: %v", c.Kind(), err)
	}
	return next
}

func resolved(t testing.TB, site Site, node string) fleet.Node {
	t.Helper()
	n, err := apply(t, cluster(t, site), site.Documents.Edit()).Resolve(node)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// findings returns those of an outcome, one line each.
func findings(site Site, o Outcome) string {
	var b strings.Builder
	for _, f := range site.Report.Findings {
		if f.Outcome == o {
			fmt.Fprintf(&b, "%s\n", f)
		}
	}
	return b.String()
}

func TestImportingTwiceChangesNothing(t *testing.T) {
	for _, name := range sites {
		t.Run(name, func(t *testing.T) {
			fsys := os.DirFS(filepath.Join("testdata", name))
			first, err := ReadFS(fsys)
			if err != nil {
				t.Fatal(err)
			}
			second, err := ReadFS(fsys)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(encode(t, first.Documents.Edit()), encode(t, second.Documents.Edit())); diff != "" {
				t.Errorf("documents of the second import differ (-first +second):\n%s", diff)
			}
			if diff := cmp.Diff(first.Report, second.Report); diff != "" {
				t.Errorf("report of the second import differs (-first +second):\n%s", diff)
			}
			once := apply(t, cluster(t, first), first.Documents.Edit())
			twice := apply(t, once, second.Documents.Edit())
			before := slices.Concat(revisions(once.Nodes()), profileRevisions(once.Profiles()))
			after := slices.Concat(revisions(twice.Nodes()), profileRevisions(twice.Profiles()))
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("applied twice, objects change (-once +twice):\n%s", diff)
			}
		})
	}
}

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func revisions(nodes func(func(fleet.Node) bool)) (all []string) {
	for n := range nodes {
		all = append(all, fmt.Sprintf("%s@%d", n.Name, n.Revision))
	}
	return all
}

func profileRevisions(profiles func(func(fleet.Profile) bool)) (all []string) {
	for p := range profiles {
		all = append(all, fmt.Sprintf("%s@%d", p.Name, p.Revision))
	}
	return all
}

func TestDocumentsAreReadAsTheyAreWritten(t *testing.T) {
	for _, name := range sites {
		site, err := ReadFS(os.DirFS(filepath.Join("testdata", name)))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := config.Encode(&b, site.Documents); err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse(config.File{Name: name, Data: b.Bytes()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range site.Documents.Nodes {
			site.Documents.Nodes[i] = site.Documents.Nodes[i].WithoutSecrets()
		}
		for i := range site.Documents.Profiles {
			site.Documents.Profiles[i] = site.Documents.Profiles[i].WithoutSecrets()
		}
		if diff := cmp.Diff(encode(t, site.Documents.Edit()), encode(t, again.Edit())); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
	}
}

func TestPasswordsAreToldToNobody(t *testing.T) {
	for _, name := range []string{"v4.2", "v4.7"} {
		site, err := ReadFS(os.DirFS(filepath.Join("testdata", name)))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := site.Report.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		if err := config.Encode(&out, site.Documents); err != nil {
			t.Fatal(err)
		}
		report, err := json.Marshal(site.Report)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %v", report, site.Documents)
		if strings.Contains(out.String(), "canary") {
			t.Errorf("%s: a password, or its hash, is in what is shown:\n%s", name, out.String())
		}
		held := 0
		for _, n := range site.Documents.Nodes {
			if string(n.BMC.Password) == "canary-password" {
				held++
			}
		}
		for _, p := range site.Documents.Profiles {
			if string(p.BMC.Password) == "canary-password" {
				held++
			}
		}
		if held == 0 {
			t.Errorf("%s: no object has the password that nodes.conf has", name)
		}
	}
}

// TestListsMeanWhatTheyMeant holds the list that a node has in the end to the one that it had there: up to 4.4, and in
// texts up to 4.5, a later list takes the place of those before it.
func TestListsMeanWhatTheyMeant(t *testing.T) {
	const frame = "%s\nnodeprofiles:\n  default: {%s}\n  other: {%s}\nnodes:\n  n1:\n    profiles: [default, other]\n    %s\n"
	for about, c := range map[string]struct {
		head, first, second, node string
		args, system              string
	}{
		"4.2, texts, the node's alone":    {"", "kernel args: a b, system overlay: x", "comment: c", "kernel args: c a", "a c a", "x"},
		"4.2, texts, of two profiles":     {"", "kernel args: a b, system overlay: 'x,y'", "kernel args: c, system overlay: z", "comment: c", "c", "z"},
		"4.3, lists take the place":       {"WW_INTERNAL: 43", "system overlay: [x, y]", "comment: c", "system overlay: [y, z]", "", "y z"},
		"4.5, lists add up":               {"WW_INTERNAL: 45", "system overlay: [x, y]", "comment: c", "system overlay: [z]", "", "x y z"},
		"4.5, arguments take the place":   {"WW_INTERNAL: 45", "kernel: {args: a b}", "comment: c", "kernel: {args: c}", "c", ""},
		"4.6, all add up":                 {"", "kernel: {args: [a, b]}, system overlay: [x]", "kernel: {args: [c]}", "system overlay: [y]", "a b c", "x y"},
		"4.6, negation":                   {"", "kernel: {args: [a, b]}", "kernel: {args: [~a]}", "kernel: {args: [c]}", "b c", ""},
		"4.6, twice in one list":          {"", "comment: c", "comment: d", "kernel: {args: [a, b, a]}", "b a", ""},
		"4.6, exported and imported":      {"", "kernel: {args: [a, b]}", "kernel: {args: [c]}", "kernel: {args: [a, b, c]}", "a b c", ""},
		"4.6, so twice":                   {"", "kernel: {args: [a, b]}", "kernel: {args: [c]}", "kernel: {args: [a, b, c, a, b, c, d]}", "a b c d", ""},
		"4.6, the beginning alone":        {"", "kernel: {args: [a, b]}", "comment: c", "kernel: {args: [a, c]}", "a b a c", ""},
		"4.6, a profile says it again":    {"", "profiles: [], kernel: {args: [a]}", "profiles: [default], kernel: {args: [a, b]}", "comment: c", "a b", ""},
		"4.2, the same words, none taken": {"", "kernel args: a b", "comment: c", "kernel args: a b", "a b", ""},
	} {
		t.Run(about, func(t *testing.T) {
			n := resolved(t, readText(t, fmt.Sprintf(frame, c.head, c.first, c.second, c.node), ""), "n1")
			if got := strings.Join(n.KernelArgs, " "); got != c.args {
				t.Errorf("kernel arguments %q, want %q", got, c.args)
			}
			if got := strings.Join(n.SystemOverlays, " "); got != c.system {
				t.Errorf("system overlays %q, want %q", got, c.system)
			}
		})
	}
}

func TestResourcesAreNotDoubled(t *testing.T) {
	n := resolved(t, readText(t, `
nodeprofiles:
  default:
    resources: {fstab: [{file: /home}], map: {a: [1]}}
nodes:
  n1:
    profiles: [default]
    resources: {fstab: [{file: /home}, {file: /home}, {file: /opt}], map: {a: [2]}}
`, ""), "n1")
	if got, want := n.Resources["fstab"], fleet.Resource(`[{"file":"/home"},{"file":"/opt"}]`); got != want {
		t.Errorf("fstab %s, want %s", got, want)
	}
	if got, want := n.Resources["map"], fleet.Resource(`{"a":[1,2]}`); got != want {
		t.Errorf("map %s, want %s", got, want)
	}
}

func TestASiteBesideWhatIsThere(t *testing.T) {
	site := readText(t, "nodes: {n1: {network devices: {ib0: {ipaddr: 10.9.0.2, netmask: 255.255.255.0}}}}", "ipaddr: 10.0.0.1/24\n")
	subnet := netip.MustParsePrefix
	for about, c := range map[string]struct {
		present []fleet.Network
		want    string
		boot    string // what the report calls the network of warewulf.conf in what is to be done
	}{
		"nothing":              {nil, "boot 10.0.0.0/24, ib0 10.9.0.0/24", "boot"},
		"the same":             {[]fleet.Network{{Name: "boot", Subnet: subnet("10.0.0.0/24"), DHCP: fleet.DHCPFull}}, "ib0 10.9.0.0/24", "boot"},
		"with another name":    {[]fleet.Network{{Name: "lan", Subnet: subnet("10.0.0.0/24")}}, "ib0 10.9.0.0/24", "lan"},
		"a wider one":          {[]fleet.Network{{Name: "lan", Subnet: subnet("10.0.0.0/8")}}, "", "lan"},
		"a narrower one":       {[]fleet.Network{{Name: "lan", Subnet: subnet("10.0.0.0/25")}}, "ib0 10.9.0.0/24", "lan"},
		"another of that name": {[]fleet.Network{{Name: "boot", Subnet: subnet("192.168.0.0/24")}}, "boot-2 10.0.0.0/24, ib0 10.9.0.0/24", "boot-2"},
	} {
		beside := site.Beside(c.present)
		var got []string
		for _, n := range beside.Documents.Networks {
			got = append(got, n.Name+" "+n.Subnet.String())
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%s: networks %q, want %q", about, got, c.want)
		}
		for _, n := range beside.Documents.Networks {
			if _, ok := beside.Where(fleet.ObjectNetwork, n.Name, ""); !ok {
				t.Errorf("%s: nobody knows where network %s stands", about, n.Name)
			}
		}
		if do := "samara network set " + c.boot + " --dhcp full "; !slices.ContainsFunc(beside.Report.Findings, func(f Finding) bool { return strings.HasPrefix(f.Do, do) }) {
			t.Errorf("%s: nothing in the report begins with %q", about, do)
		}
		if len(got) < 2 && len(beside.Report.Findings) == len(site.Report.Findings) {
			t.Errorf("%s: the report has no word of it", about)
		}
	}
}

func TestAddressesOfProfilesGoToTheirNode(t *testing.T) {
	site := readText(t, `
nodeprofiles:
  one: {network devices: {default: {ipaddr: 10.0.0.7, hwaddr: "52:54:00:00:00:07"}}, ipmi: {ipaddr: 10.0.1.7}}
  many: {network devices: {default: {ipaddr: 10.0.0.8}}}
  none: {network devices: {default: {ipaddr: 10.0.0.9}}}
nodes:
  n1: {profiles: [many, one]}
  n2: {profiles: [many]}
  n3: {profiles: [many]}
  n4: {profiles: [none], network devices: {default: {ipaddr: 10.0.0.10}}}
`, "ipaddr: 10.0.0.1/24\n")
	n := resolved(t, site, "n1")
	if i, _ := n.Primary(); i.IP.String() != "10.0.0.7" || i.MAC.String() != "52:54:00:00:00:07" || n.BMC.Address.String() != "10.0.1.7" {
		t.Errorf("n1 has %v %v, BMC %v", i.IP, i.MAC, n.BMC.Address)
	}
	if got := findings(site, Left); !strings.Contains(got, "one address for 2 nodes") {
		t.Errorf("left:\n%s", got)
	}
	if at, ok := site.Where("node", "n1", "bmc.address"); !ok || at.Line != 3 {
		t.Errorf("the address of n1's BMC stands at %+v, %v; want line 3", at, ok)
	}
}

func TestWhatDoesNotFitANodeIsSaidByTheOthers(t *testing.T) {
	site := readText(t, `
nodeprofiles:
  p: {primary network: ib0, network devices: {default: {gateway: 10.0.0.254}}}
nodes:
  n1: {profiles: [p], network devices: {default: {ipaddr: 10.0.0.2, netmask: 255.255.255.0}, ib0: {mtu: 4092}}}
  n2: {profiles: [p], network devices: {default: {ipaddr: 10.5.0.2, netmask: 255.255.255.0}}}
`, "ipaddr: 10.0.0.1/24\n")
	n1, n2 := resolved(t, site, "n1"), resolved(t, site, "n2")
	if n1.Interfaces[0].Gateway.String() != "10.0.0.254" || n1.PrimaryNetwork != "ib0" {
		t.Errorf("n1: gateway %v, primary %q", n1.Interfaces[0].Gateway, n1.PrimaryNetwork)
	}
	if n2.Interfaces[0].Gateway.IsValid() || n2.PrimaryNetwork != "" {
		t.Errorf("n2: gateway %v, primary %q", n2.Interfaces[0].Gateway, n2.PrimaryNetwork)
	}
}

func TestWhereALineIs(t *testing.T) {
	site := readText(t, "nodes:\n  n1:\n    network devices:\n      default:\n        ipaddr: 10.0.0.2\n", "comment: x\nipaddr: 10.0.0.1/24\n")
	for _, c := range []struct {
		kind, name, path, file string
		line                   int
	}{
		{"node", "n1", "", "nodes.conf", 2},
		{"node", "n1", "interfaces.default.ip", "nodes.conf", 5},
		{"node", "n1", "interfaces.default", "nodes.conf", 4},
		{"node", "n1", "interfaces.default.mtu", "nodes.conf", 4},
		{"node", "n1", "image", "nodes.conf", 2},
		{"network", "boot", "", "warewulf.conf", 2},
	} {
		if at, ok := site.Where(c.kind, c.name, c.path); !ok || at.File != c.file || at.Line != c.line {
			t.Errorf("%s %s %s: got %+v, %v; want %s:%d", c.kind, c.name, c.path, at, ok, c.file, c.line)
		}
	}
	if at, ok := site.Where("node", "n2", ""); ok {
		t.Errorf("n2, which is nowhere: got %+v", at)
	}
}

func TestFaultyFilesAreSaidWithTheirLine(t *testing.T) {
	for about, c := range map[string]struct{ nodes, server, want string }{
		"syntax":          {"nodes:\n  n1: [\n", "", "nodes.conf:"},
		"a tab":           {"nodes:\n\tn1: {}\n", "", "nodes.conf:2:"},
		"twice":           {"nodes:\n  n1: {}\n  n1: {}\n", "", `nodes.conf:3:3: "n1" stands here twice`},
		"no mapping":      {"- a\n", "", "nodes.conf:1"},
		"nodes, a list":   {"nodes:\n- n1\n", "", "nodes.conf:2"},
		"two documents":   {"nodes: {}\n---\nnodes: {}\n", "", "nodes.conf:3"},
		"the server's":    {"nodes: {}\n", "ipaddr: [\n", "warewulf.conf:"},
		"a server's list": {"nodes: {}\n", "- x\n", "warewulf.conf:1"},
	} {
		_, err := ReadFS(fstest.MapFS{"nodes.conf": {Data: []byte(c.nodes)}, "warewulf.conf": {Data: []byte(c.server)}})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s…", about, err, c.want)
		}
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no nodes.conf") {
		t.Errorf("an empty directory: got %v", err)
	}
}

func TestReadFindsWhatBelongsToEtcWarewulf(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("testdata", "v4.7"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	etc, err := Read(filepath.Join(root, "etc", "warewulf"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole.Report, etc.Report); diff != "" {
		t.Errorf("report (-of the root +of etc/warewulf):\n%s", diff)
	}
	want := []Image{{Name: "rocky-9", Was: "rocky-9", Path: filepath.Join(root, "srv/images/rocky-9/rootfs"), Used: true}}
	if len(etc.Images) != 1 || etc.Images[0].Path != want[0].Path || !etc.Images[0].Used {
		t.Errorf("images %+v, want %+v", etc.Images, want)
	}
	var overlays []string
	for _, o := range etc.Overlays {
		overlays = append(overlays, fmt.Sprintf("%s distribution=%t shadows=%t used=%t %v %v", o.Name, o.Distribution, o.Shadows, o.Used, o.Files, o.Templates))
	}
	if diff := cmp.Diff([]string{
		"fstab distribution=true shadows=false used=true [etc/fstab.ww] [etc/fstab.ww]",
		"hosts distribution=false shadows=true used=true [etc/hosts.ww] [etc/hosts.ww]",
	}, overlays); diff != "" {
		t.Errorf("overlays (-want +got):\n%s", diff)
	}
}
