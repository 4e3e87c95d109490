package bootagent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

const (
	testModules = `virtio /m/virtio.ko
virtio_ring /m/virtio_ring.ko virtio
failover /m/failover.ko
virtio_net /m/virtio_net.ko virtio virtio_ring failover
realtek /m/realtek.ko
r8169 /m/r8169.ko ?realtek
virtio_pci /m/virtio_pci.ko virtio virtio_ring
loop /m/loop.ko
`
	testAliases = `virtio:d00000001v* virtio_net
pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
pci:v000010ECd00008168sv*sd*bc*sc*i* r8169
usb:v[0-9]* nothere
fs-overlay overlay
`
)

func testSet(t *testing.T) moduleSet {
	t.Helper()
	s, err := parseModules([]byte(testModules), []byte(testAliases), []byte("loop\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestModuleOrder(t *testing.T) {
	s := testSet(t)
	for name, want := range map[string]string{
		"virtio_net": "virtio virtio_ring failover virtio_net",
		"r8169":      "?realtek r8169",
		"loop":       "loop",
		"builtin":    "",
	} {
		var got []string
		for _, l := range s.order(name) {
			if l.wanted {
				l.name = "?" + l.name
			}
			got = append(got, l.name)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("order(%q) = %q, want %q", name, text, want)
		}
	}
}

func TestModuleMatch(t *testing.T) {
	s := testSet(t)
	for modalias, want := range map[string][]string{
		"virtio:d00000001v00001AF4":                             {"virtio_net"},
		"virtio:d00000002v00001AF4":                             nil,
		"pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00": {"virtio_pci"},
		"pci:v000010ECd00008168sv00001043sd00008677bc02sc00i00": {"r8169"},
		"usb:v1": {"nothere"},
		"":       nil,
		"[":      nil,
	} {
		if got := s.match(modalias); !slices.Equal(got, want) {
			t.Errorf("match(%q) = %q, want %q", modalias, got, want)
		}
	}
}

func TestParseModulesRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ modules, aliases, want string }{
		"a module without a file": {"loop\n", "", "modules line 1"},
		"a relative file":         {"a /a\nloop m/loop.ko\n", "", "modules line 2"},
		"a broken pattern":        {"", "pci:[ x\n", "modules.alias line 1"},
		"an alias of nothing":     {"", "pci:x\n", "modules.alias line 1"},
		"an endless line":         {strings.Repeat("x", maxModuleLine+1), "", "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseModules([]byte(tc.modules), []byte(tc.aliases), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func FuzzParseModules(f *testing.F) {
	f.Add([]byte(testModules), []byte(testAliases), "virtio:d00000001v00001AF4")
	f.Add([]byte("a /a ?b\nb /b a\n"), []byte("*:* a\n[^-]:\\* b\n"), "x:y")
	f.Fuzz(func(t *testing.T, modules, aliases []byte, modalias string) {
		s, err := parseModules(modules, aliases, []byte("a\n"))
		if err != nil {
			return
		}
		for _, name := range s.match(modalias) {
			for _, l := range s.order(name) {
				if !filepath.IsAbs(l.file) {
					t.Errorf("order(%q) loads %q", name, l.file)
				}
			}
		}
	})
}

// A bus whose devices appear only when its driver is loaded is looked at again, and a driver that is missing stops nothing.
func TestProbeFollowsNewDevices(t *testing.T) {
	sysfs := t.TempDir()
	device := func(name, modalias string) {
		dir := filepath.Join(sysfs, name)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "modalias"), []byte(modalias+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	device("pci0/0", "pci:v00001AF4d00001000sv0sd0bc02sc00i00")
	device("pci0/1", "pci:v000010ECd00008168sv0sd0bc02sc00i00")
	device("pci0/2", "unknown:thing")
	set := testSet(t)
	synctest.Test(t, func(t *testing.T) {
		p := newProber(set, quietLog())
		var loaded []string
		p.insert = func(file string) error {
			loaded = append(loaded, file)
			switch file {
			case "/m/virtio_pci.ko":
				device("pci0/0/virtio0", "virtio:d00000001v00001AF4")
			case "/m/realtek.ko":
				return errors.New("no firmware")
			}
			return nil
		}
		if err := p.probe(context.Background(), sysfs); err != nil {
			t.Fatal(err)
		}
		want := []string{"/m/loop.ko", "/m/virtio.ko", "/m/virtio_ring.ko", "/m/virtio_pci.ko", "/m/failover.ko", "/m/virtio_net.ko", "/m/realtek.ko", "/m/r8169.ko"}
		slices.Sort(loaded)
		slices.Sort(want)
		if !slices.Equal(loaded, want) {
			t.Errorf("loaded %q, want %q", loaded, want)
		}
		if got := p.loaded(); got != len(want)-1 {
			t.Errorf("%d modules are said to be loaded, want %d", got, len(want)-1)
		}
	})
}

func TestReadModuleSetWithoutModules(t *testing.T) {
	s, err := readModuleSet(filepath.Join(t.TempDir(), "missing"))
	if err != nil || len(s.modules) != 0 {
		t.Errorf("got %v, %v, want an empty set", s, err)
	}
}
