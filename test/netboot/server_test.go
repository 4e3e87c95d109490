package netboot_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot"
)

// The fleet that the server serves. Networks boot and lab are on the bridge, far is behind a relay agent.
var (
	serverAddress = netip.MustParseAddr("10.77.0.1")
	relayAddress  = netip.MustParseAddr("10.77.0.250") // on the bridge
	farGateway    = netip.MustParseAddr("10.78.0.254") // of the same machine, where the far clients are

	diskless = fleet.MAC{0x52, 0x54, 0, 0x77, 0, 1}    // n1, 10.77.0.11, image debian
	blank    = fleet.MAC{0x52, 0x54, 0, 0x77, 0, 2}    // n2, 10.77.0.12, no image
	keyed    = fleet.MAC{0x52, 0x54, 0, 0x77, 0, 4}    // n4, 10.77.0.14, image debian, asset key assetKey
	lab      = fleet.MAC{0x52, 0x54, 0, 0x77, 0, 3}    // n3, 10.79.0.13, where another server gives addresses
	far      = fleet.MAC{0x52, 0x54, 0, 0x78, 0, 0}    // f0; the following ones are f1, f2, …
	alien    = fleet.MAC{0x52, 0x54, 0, 0x77, 0, 0xee} // nobody's
)

const (
	farNodes    = 200
	labAddress  = "10.79.0.13"
	bootPort    = 7601
	serverToken = "test-boot-token"
	assetKey    = "CZ 12&7%41"
)

func farMAC(i int) fleet.MAC { m := far; m[5] = byte(i); return m }

// payload is a blob's content, the same in both processes.
func payload(seed byte, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

const (
	kernelSeed, kernelSize       = 3, 3<<20 + 17
	initramfsSeed, initramfsSize = 4, 5<<20 + 1
)

func blobOf(seed byte, size int) fleet.Blob {
	return fleet.Blob{Digest: fleet.Digest{seed}, Size: int64(size)}
}

func state(controllers []fleet.Controller) (fleet.State, error) {
	key := fleet.Secret(bytes.Repeat([]byte{7}, 32))
	network := func(name, subnet string, mode fleet.DHCPMode) fleet.Network {
		return fleet.Network{Name: name, Subnet: netip.MustParsePrefix(subnet), DHCP: mode}
	}
	full := network("boot", "10.77.0.0/24", fleet.DHCPFull)
	full.Gateway, full.DNS, full.Domain = netip.MustParseAddr("10.77.0.254"), []netip.Addr{netip.MustParseAddr("10.77.0.53")}, "cluster.example"
	node := func(name string, mac fleet.MAC, ip, image string) fleet.Node {
		return fleet.Node{
			Name: name, Settings: fleet.Settings{Image: fleet.ImageRef{Name: image},
				Interfaces: []fleet.Interface{{Name: "default", MAC: mac, IP: netip.MustParseAddr(ip)}}},
		}
	}
	nodes := []fleet.Node{node("n1", diskless, "10.77.0.11", "debian"), node("n2", blank, "10.77.0.12", ""), node("n3", lab, labAddress, "debian")}
	chassis := node("n4", keyed, "10.77.0.14", "debian")
	chassis.AssetKey = assetKey
	for i := range farNodes {
		nodes = append(nodes, node(fmt.Sprintf("f%d", i), farMAC(i), fmt.Sprintf("10.78.0.%d", i+1), "debian"))
	}
	var s fleet.State
	for rev, c := range []fleet.Command{
		fleet.InitCluster{
			Cluster: fleet.Cluster{
				Name: "wire", ID: "id", CA: []byte("ca"), CAKey: key, MeshKey: key, TokenKey: key, IDKey: key,
				Controllers: controllers,
			},
			Networks: []fleet.Network{full, network("lab", "10.79.0.0/24", fleet.DHCPProxy), network("far", "10.78.0.0/24", fleet.DHCPFull)},
		},
		fleet.AddImageVersion{Image: "debian", Version: fleet.ImageVersion{
			Root: blobOf(1, 1), Torrent: blobOf(2, 1), Kernel: blobOf(kernelSeed, kernelSize), Initramfs: blobOf(initramfsSeed, initramfsSize),
			Arch: "amd64", KernelRelease: "6.1.0",
		}},
		fleet.SetFormat{Format: fleet.Format},
		fleet.AddNodes{Nodes: append(nodes, chassis)},
	} {
		var err error
		if s, err = s.Apply(fleet.Entry{Command: c}, fleet.Revision(rev+1)); err != nil {
			return s, err
		}
	}
	return s, nil
}

// controllers returns those of a cluster of n: c1 at serverAddress, c2 at the next address and so on.
func controllers(n int) []fleet.Controller {
	var all []fleet.Controller
	for address := serverAddress; len(all) < n; address = address.Next() {
		all = append(all, fleet.Controller{ID: fmt.Sprintf("c%d", len(all)+1), Address: address, Ports: fleet.DefaultPorts})
	}
	return all
}

type memoryBlob struct {
	*bytes.Reader
	stall *stall
}

// ReadAt implements io.ReaderAt. It never gets beyond the middle of a blob while the server is stalled.
func (m memoryBlob) ReadAt(p []byte, off int64) (int, error) {
	if off >= m.Size()/2 {
		m.stall.wait("blob")
	}
	return m.Reader.ReadAt(p, off)
}

func (memoryBlob) Close() error { return nil }

// A stall holds up what the server is told to hold up, until its process ends.
type stall struct {
	at atomic.Pointer[string]
	r  *reporter
}

func (s *stall) wait(at string) {
	if what := s.at.Load(); what != nil && *what == at {
		s.r.say("stalled at %s", at)
		select {}
	}
}

// A reporter writes what the server observes, one line each.
type reporter struct {
	mu sync.Mutex
	to io.Writer
}

func (r *reporter) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.to, format+"\n", args...)
}

func (r *reporter) Phase(mac fleet.MAC, id string, p fleet.Phase, detail string) {
	r.say("phase %s [%s] %s: %s", mac, id, p, detail)
}

func (r *reporter) Refused(mac fleet.MAC, reason string) { r.say("refused %s: %s", mac, reason) }

func (r *reporter) Unknown(m fleet.UnknownMachine) {
	r.say("unknown %s from %s relay %s class %q firmware %q", m.MAC, m.From, m.Relay, m.VendorClass, m.Firmware)
}

// serve is a server's process: it says "ready", serves until its input ends, and says what it counted. Its input are the
// numbers of the controllers that it is to take for alive from now on, or what to stall at: "blob" or "script".
func serve(who string, in io.Reader, out io.Writer) error {
	var number, of int
	if _, err := fmt.Sscanf(who, "%d/%d", &number, &of); err != nil {
		return fmt.Errorf("which server %q: %w", who, err)
	}
	all := controllers(of)
	s, err := state(all)
	if err != nil {
		return err
	}
	var live atomic.Pointer[[]fleet.Controller]
	live.Store(&all)
	r := &reporter{to: out}
	stall := &stall{r: r}
	server, err := netboot.Open(netboot.Config{
		State: func() fleet.State { return s },
		Self:  all[number-1],
		Live:  func() []fleet.Controller { return *live.Load() },
		Pin:   strings.Repeat("ab", 32),
		Token: func(fleet.BootPlan) (string, string, error) {
			stall.wait("script")
			return "boot-id", serverToken, nil
		},
		Blob: func(d fleet.Digest) (netboot.Blob, error) {
			switch d[0] {
			case kernelSeed:
				return memoryBlob{bytes.NewReader(payload(kernelSeed, kernelSize)), stall}, nil
			case initramfsSeed:
				return memoryBlob{bytes.NewReader(payload(initramfsSeed, initramfsSize)), stall}, nil
			}
			return nil, fs.ErrNotExist
		},
		Observer: r,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for lines := bufio.NewScanner(in); lines.Scan(); { // ends with the test's process, however that ends
			if at, ok := strings.CutPrefix(lines.Text(), "stall "); ok {
				stall.at.Store(&at)
				r.say("will stall at %s", at)
				continue
			}
			var some []fleet.Controller
			for _, number := range strings.Fields(lines.Text()) {
				some = append(some, all[number[0]-'1'])
			}
			live.Store(&some)
			r.say("live [%s]", lines.Text())
		}
		cancel()
	}()
	r.say("ready")
	err = server.Run(ctx)
	counts, _ := json.Marshal(server.Counters())
	r.say("counters %s", counts)
	return err
}
