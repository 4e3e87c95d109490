package bootagent

import (
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func testManifest() fleet.Manifest {
	return fleet.Manifest{
		Node: "n001", Domain: "lab.example", Address: netip.MustParsePrefix("10.1.0.11/16"),
		DNS: []netip.Addr{netip.MustParseAddr("10.1.0.1")}, MachineID: strings.Repeat("0a", 16),
		AuthorizedKeys: []string{"ssh-ed25519 AAAA admin@head"},
		Controllers:    []fleet.Controller{{ID: "c1", Address: netip.MustParseAddr("10.1.0.1"), Ports: fleet.DefaultPorts}},
	}
}

// tree makes a directory out of names and texts; a text that begins with "->" is a symbolic link, a name that ends
// with "/" a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		link, isLink := strings.CutPrefix(text, "->")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(at, 0o755)
		case isLink:
			err = os.Symlink(link, at)
		default:
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func wantFile(t *testing.T, name, want string, mode fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Error(err)
		return
	}
	if info.Mode() != mode {
		t.Errorf("%s: mode %s, want %s", name, info.Mode(), mode)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
	}
}

const (
	wantHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"10.1.0.11\tn001.lab.example n001\n10.1.0.1\tc1.lab.example c1\n"
	wantResolv = "search lab.example\nnameserver 10.1.0.1\n"
	wantKeys   = "ssh-ed25519 AAAA admin@head\n"
)

func TestFillInOrdinaryImage(t *testing.T) {
	root := tree(t, map[string]string{
		"etc/hostname": "builder\n", "etc/machine-id": "", "etc/resolv.conf": "->../run/systemd/resolve/stub-resolv.conf",
		"etc/passwd":                "daemon:x:1:1::/:/x\nroot:x:0:0:root:/root:/bin/bash\n",
		"root/.ssh/authorized_keys": "ssh-rsa BBBB image\nssh-ed25519 AAAA admin@head", "run/": "",
	})
	for range 2 { // again, as after a failed switch
		if err := fillIn(root, testManifest(), address{}); err != nil {
			t.Fatal(err)
		}
	}
	wantFile(t, root+"/etc/hostname", "n001\n", 0o644)
	wantFile(t, root+"/etc/hosts", wantHosts, 0o644)
	wantFile(t, root+"/etc/resolv.conf", wantResolv, 0o644)
	wantFile(t, root+"/etc/machine-id", strings.Repeat("0a", 16)+"\n", 0o444)
	wantFile(t, root+"/root/.ssh/authorized_keys", "ssh-rsa BBBB image\n"+wantKeys, 0o600)
	if info, err := os.Stat(root + "/root/.ssh"); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf(".ssh: %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(root + "/etc/.*.samara"); left != nil {
		t.Errorf("temporary files left: %q", left)
	}
}

// An image may have any links in it. None may lead a write out of the root.
func TestFillInHostileImages(t *testing.T) {
	outside := t.TempDir()
	up := strings.Repeat("../", 30)
	for name, files := range map[string]map[string]string{
		"etc is an absolute link outside":    {"etc": "->" + outside},
		"etc climbs":                         {"etc": "->" + up + outside[1:]},
		"etc is a link to the root":          {"etc": "->/"},
		"files are links outside":            {"etc/hostname": "->" + outside + "/a", "etc/hosts": "->" + outside + "/b", "etc/machine-id": "->" + outside + "/c"},
		"temporary names are taken":          {"etc/.hosts.samara": "->" + outside + "/d", "etc/.hostname.samara": "x"},
		"root's home is outside":             {"etc/passwd": "root:x:0:0::" + outside + ":/bin/sh\n"},
		"root's home climbs":                 {"etc/passwd": "root:x:0:0::/../../.." + outside + ":/bin/sh\n"},
		"root's home is an absolute link":    {"root": "->" + outside, "etc/passwd": "root:x:0:0::/root:/bin/sh\n"},
		".ssh is a link outside":             {"root/.ssh": "->" + outside, "root/x": ""},
		"authorized_keys is a link outside":  {"root/.ssh/authorized_keys": "->" + outside + "/keys"},
		"an ostree-like home":                {"root": "->var/roothome", "var/roothome/": ""},
		"links lead to links that leave":     {"etc": "->a/b", "a": "->/c", "c/b": "->" + up + outside[1:]},
		"passwd is a link to the host's own": {"etc/passwd": "->/etc/passwd-"},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, files)
			if err := fillIn(root, testManifest(), address{}); err != nil {
				t.Fatal(err)
			}
			if found, err := os.ReadDir(outside); err != nil || len(found) > 0 {
				t.Fatalf("written outside the root: %v %v", found, err)
			}
			r, err := os.OpenRoot(root)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := readIn(r, "/etc/hosts", 4096); err != nil || string(got) != wantHosts {
				t.Errorf("/etc/hosts holds %q, %v", got, err)
			}
		})
	}
}

func TestFillInRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"links in a circle":     {map[string]string{"etc": "->run/x", "run/x": "->/etc"}, "more than 40 symbolic links"},
		"a directory as a file": {map[string]string{"etc/hosts/x": "y"}, "/etc/hosts"},
		"a file as a directory": {map[string]string{"etc": "y"}, "/etc/hostname"},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, tc.files)
			if err := fillIn(root, testManifest(), address{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			if left, _ := filepath.Glob(root + "/etc/.*.samara"); left != nil {
				t.Errorf("temporary files left: %q", left)
			}
		})
	}
}

func TestResolveIn(t *testing.T) {
	root := tree(t, map[string]string{"usr/sbin/": "", "sbin": "->usr/sbin", "usr/sbin/init": "->/lib/systemd/systemd", "lib": "->usr/lib", "usr/lib/systemd/systemd": "x"})
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, want := range map[string]string{
		"/sbin/init":       "usr/lib/systemd/systemd",
		"/":                ".",
		"..":               ".",
		"/../../sbin/x/y":  "usr/sbin/x/y",
		"/sbin/../lib//.":  "usr/lib",
		"usr/./sbin":       "usr/sbin",
		"/missing/../sbin": "usr/sbin",
	} {
		if got, err := resolveIn(r, name); err != nil || got != want {
			t.Errorf("resolveIn(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestRenderWithoutDomain(t *testing.T) {
	m := testManifest()
	m.Domain, m.DNS = "", nil
	if got := string(renderHosts(m)); !strings.HasSuffix(got, "10.1.0.11\tn001\n10.1.0.1\tc1\n") {
		t.Errorf("hosts %q", got)
	}
	lease := address{DNS: []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.3"), netip.MustParseAddr("10.9.0.4")}, Domain: "from.dhcp"}
	if got := string(renderResolv(m, lease)); got != "search from.dhcp\nnameserver 10.9.0.1\nnameserver 10.9.0.2\nnameserver 10.9.0.3\n" {
		t.Errorf("resolv.conf from the lease: %q", got)
	}
	lease.Domain = "evil\nnameserver 6.6.6.6"
	if got := string(renderResolv(m, lease)); strings.Contains(got, "6.6.6.6") {
		t.Errorf("a DHCP server wrote a line of its own: %q", got)
	}
}

func TestRootHome(t *testing.T) {
	for passwd, want := range map[string]string{
		"":                                  "/root",
		"root:x:0:0::/var/root:/bin/sh\n":   "/var/root",
		"root:x:0:0::relative:/bin/sh\n":    "/root",
		"root:x:0:0::/:/bin/sh\n":           "/root",
		"toor:x:0:0::/a:/b\nroot:x:0:0\n":   "/root",
		"nobody\nroot:x:0:0:r:/home/r:/x\n": "/home/r",
	} {
		if got := rootHome([]byte(passwd)); got != want {
			t.Errorf("rootHome(%q) = %q, want %q", passwd, got, want)
		}
	}
}
