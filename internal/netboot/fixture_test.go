package netboot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/samara-hpc/samara/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	nodeMAC  = fleet.MAC{0x52, 0x54, 0, 0, 0, 1} // n1, 10.1.0.11, image debian
	bareMAC  = fleet.MAC{0x52, 0x54, 0, 0, 0, 2} // n2, 10.1.0.12, no image
	labMAC   = fleet.MAC{0x52, 0x54, 0, 0, 0, 3} // n3, 10.2.0.13, on a proxy network
	localMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 4} // asks for a script from loopback
	alienMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 99}

	kernel    = bytes.Repeat([]byte("kernel--"), 8192)
	initramfs = bytes.Repeat([]byte("initramf"), 16384)
	pin       = strings.Repeat("ab", 32)
)

const testToken = "the-boot-token"

func blobOf(b byte, data []byte) fleet.Blob {
	return fleet.Blob{Digest: fleet.Digest{b}, Size: int64(len(data))}
}

func testState(t testing.TB, controllers int) fleet.State {
	t.Helper()
	return stateOf(t, controllersAt([4]byte{10, 1, 0, 1}, controllers))
}

// controllersAt returns c1 at that address, c2 at the next and so on.
func controllersAt(first [4]byte, n int) []fleet.Controller {
	var all []fleet.Controller
	for i := range n {
		all = append(all, fleet.Controller{ID: fmt.Sprintf("c%d", i+1), Address: netip.AddrFrom4(first), Ports: fleet.DefaultPorts})
		first[3]++
	}
	return all
}

func stateOf(t testing.TB, controllers []fleet.Controller) fleet.State {
	t.Helper()
	key := fleet.Secret(bytes.Repeat([]byte{7}, 32))
	cluster := fleet.Cluster{
		Name: "test", ID: "id", CA: []byte("ca"), CAKey: key, MeshKey: key, TokenKey: key, IDKey: key, Controllers: controllers,
	}
	node := func(name string, mac fleet.MAC, ip, image string) fleet.Node {
		return fleet.Node{
			Name: name, Settings: fleet.Settings{Image: fleet.ImageRef{Name: image},
				Interfaces: []fleet.Interface{{Name: "default", MAC: mac, IP: netip.MustParseAddr(ip)}}},
		}
	}
	var s fleet.State
	for rev, c := range []fleet.Command{
		fleet.InitCluster{Cluster: cluster, Networks: []fleet.Network{
			{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/22"), DHCP: fleet.DHCPFull},
			{Name: "lab", Subnet: netip.MustParsePrefix("10.2.0.0/24"), DHCP: fleet.DHCPProxy},
		}},
		fleet.AddImageVersion{Image: "debian", Version: fleet.ImageVersion{
			Root: blobOf(1, kernel), Torrent: blobOf(2, kernel), Kernel: blobOf(3, kernel), Initramfs: blobOf(4, initramfs), Arch: "amd64", KernelRelease: "6.1.0",
		}},
		fleet.AddNodes{Nodes: []fleet.Node{
			node("n1", nodeMAC, "10.1.0.11", "debian"), node("n2", bareMAC, "10.1.0.12", ""), node("n3", labMAC, "10.2.0.13", "debian"), node("n4", localMAC, "10.1.0.14", "debian"),
		}},
	} {
		var err error
		if s, err = s.Apply(fleet.Entry{Command: c}, fleet.Revision(rev+1)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// stateWith returns testState with an image whose initramfs is file.
func stateWith(t testing.TB, file fleet.Blob) fleet.State {
	t.Helper()
	return withInitramfs(t, testState(t, 1), "firmware", file)
}

// withInitramfs returns s with an image of that name whose initramfs is file.
func withInitramfs(t testing.TB, s fleet.State, image string, file fleet.Blob) fleet.State {
	t.Helper()
	v := fleet.ImageVersion{Root: blobOf(1, kernel), Torrent: blobOf(2, kernel), Kernel: blobOf(3, kernel), Initramfs: file, Arch: "amd64"}
	s, err := s.Apply(fleet.Entry{Command: fleet.AddImageVersion{Image: image, Version: v}}, s.Revision()+1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withAssetKey returns s in which every node has that asset key.
func withAssetKey(t testing.TB, s fleet.State, key string) fleet.State {
	t.Helper()
	var edit fleet.Edit
	for n := range s.Nodes() {
		n.AssetKey = key
		edit.Puts = append(edit.Puts, fleet.Object{Node: &n})
	}
	for _, c := range []fleet.Command{fleet.SetFormat{Format: fleet.Format}, edit} {
		var err error
		if s, err = s.Apply(fleet.Entry{Command: c}, s.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A memoryBlob fails with err at byte until, if err is not nil.
type memoryBlob struct {
	*bytes.Reader
	until int64
	err   error
}

func (m *memoryBlob) ReadAt(p []byte, off int64) (int, error) {
	if m.err == nil {
		return m.Reader.ReadAt(p, off)
	}
	if off >= m.until {
		return 0, m.err
	}
	return m.Reader.ReadAt(p[:min(int64(len(p)), m.until-off)], off)
}

func (m *memoryBlob) Close() error { return nil }

func memory(d fleet.Digest) (Blob, error) {
	switch d[0] {
	case 3:
		return &memoryBlob{Reader: bytes.NewReader(kernel)}, nil
	case 1, 2, 4:
		return &memoryBlob{Reader: bytes.NewReader(initramfs)}, nil
	}
	return nil, fs.ErrNotExist
}

// A witness records what it observes, one line each.
type witness struct {
	mu    sync.Mutex
	lines []string
	news  chan struct{}
}

func newWitness() *witness { return &witness{news: make(chan struct{}, 1)} }

func (w *witness) add(format string, args ...any) {
	w.mu.Lock()
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *witness) Phase(mac fleet.MAC, id string, p fleet.Phase, detail string) {
	w.add("%s %q %s %s", mac, id, p, detail)
}

func (w *witness) Refused(mac fleet.MAC, reason string) { w.add("%s refused: %s", mac, reason) }

func (w *witness) Unknown(m fleet.UnknownMachine) { w.add("unknown %s from %s", m.MAC, m.From) }

func (w *witness) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines, "\n")
}

// await waits until the lines are want.
func (w *witness) await(t *testing.T, want string) {
	t.Helper()
	for deadline := time.After(10 * time.Second); w.all() != want; {
		select {
		case <-w.news:
		case <-deadline:
			t.Fatalf("observed:\n%s\nwant:\n%s", w.all(), want)
		}
	}
}

// efi returns the least that passes for an EFI executable.
func efi(machine uint16, filler string) []byte {
	b := make([]byte, 0x80, 0x80+len(filler))
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[0x44:], machine)
	return append(b, filler...)
}

func writeLoaders(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func debianFiles() map[string][]byte {
	return map[string][]byte{"undionly.kpxe": []byte("bios loader"), "snponly.efi": efi(peAMD64, "snp"), "ipxe.efi": efi(peAMD64, "full")}
}

func testConfig(t testing.TB, w *witness) Config {
	state := testState(t, 1)
	mint := 0
	return Config{
		State: func() fleet.State { return state },
		Self:  fleet.Controller{ID: "c1", Address: netip.MustParseAddr("127.0.0.1"), Ports: fleet.Ports{Control: 7600}},
		Pin:   pin,
		Token: func(p fleet.BootPlan) (string, string, error) {
			if p.Node.Name == "" {
				return "", "", errors.New("no node")
			}
			mint++
			return fmt.Sprintf("boot-%d", mint), testToken, nil
		},
		Blob: memory, Observer: w, LoaderDir: writeLoaders(t, debianFiles()), Ports: &Ports{},
	}
}

// open opens a server on free ports of loopback, to be closed with the test.
func open(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
