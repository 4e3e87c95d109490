package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
)

const (
	imageName  = "debian"
	prefix     = "samara-e2e"
	bootLimit  = 5 * time.Minute // power-on to ready, emulated on a busy host
	patience   = time.Minute     // for what takes seconds
	importTime = 5 * time.Minute
)

// A scene is a cluster with an imported image, and the machines that have been switched on.
type scene struct {
	accel      lab.Accelerator
	dir        string
	tar        string // of the image
	network    *lab.Network
	ssh        *lab.SSH
	cluster    *lab.Cluster
	controller *lab.Controller // the one that is asked: the first
	image      fleet.ImageVersion
	vms        map[string]*lab.VM
}

// A guest is a machine that is a node, and its address.
type guest struct {
	lab.Machine
	ip netip.Addr
}

func newGuest(name string, number byte, f lab.Firmware) guest {
	return guest{lab.Machine{Name: name, MAC: fleet.MAC{0x02, 0x77, 0, 0, 0, number}, Firmware: f}, netip.AddrFrom4([4]byte{10, 77, 0, number})}
}

var (
	n1 = newGuest("n1", 11, lab.BIOS)
	n2 = newGuest("n2", 12, lab.UEFIPXE)
	n3 = newGuest("n3", 13, lab.UEFIHTTP)
	n4 = newGuest("n4", 14, lab.BIOS)
)

// binary returns the path of the product.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SAMARA_BINARY")
	if path == "" {
		path = "../../bin/samara"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make build makes it; SAMARA_BINARY names another", err)
	}
	return path
}

// newScene brings up everything but the machines, with that many controllers.
func newScene(t *testing.T, controllers int) *scene {
	t.Helper()
	if err := lab.Need(); err != nil {
		t.Fatalf("%v (test/prepare test does it)", err)
	}
	s := &scene{vms: map[string]*lab.VM{}}
	s.makeDir(t)
	samara := binary(t)
	ctx := t.Context()
	var err error
	if s.accel, err = lab.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	if s.tar, err = lab.Rootfs(ctx, lab.CacheDir(), t.Logf); err != nil {
		t.Fatal(err)
	}
	if err := lab.Sweep(prefix); err != nil {
		t.Fatal(err)
	}
	if s.network, err = lab.NewNetwork(lab.TestNetworkName(prefix), false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.network.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.ssh, err = lab.NewSSH(s.network, s.dir); err != nil {
		t.Fatal(err)
	}
	if s.cluster, err = s.network.AddCluster(controllers, samara, s.dir); err != nil {
		t.Fatal(err)
	}
	s.controller = s.cluster.Controllers[0]
	forming, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if err := s.cluster.Form(forming, "e2e", s.ssh.PublicKey()); err != nil {
		t.Fatal(err)
	}
	s.importImage(t)
	t.Logf("machines run on %s; the image has %d bytes", s.accel, s.image.Root.Size)
	return s
}

// makeDir makes the directory of logs. It stays if the test fails. Its path is short, for it holds Unix sockets.
func (s *scene) makeDir(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", prefix+"-")
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs are in %s: head*.log of controllers, *.console of the machines", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

func (s *scene) serve(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.controller.Serve(ctx); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) importImage(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), importTime)
	defer cancel()
	if _, err := s.controller.Run(ctx, "image", "import", s.tar, imageName); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.image, err = s.controller.Image(ctx, imageName); err != nil {
		t.Fatal(err)
	}
}

// switchOn adds a node, with further settings as flags of samara node set, and boots its machine.
func (s *scene) switchOn(t *testing.T, g guest, settings ...string) *lab.VM {
	t.Helper()
	if err := s.controller.AddNode(t.Context(), g.Machine, g.ip, imageName); err != nil {
		t.Fatal(err)
	}
	if len(settings) > 0 {
		if _, err := s.controller.Run(t.Context(), append([]string{"node", "set", g.Name}, settings...)...); err != nil {
			t.Fatal(err)
		}
	}
	return s.power(t, g.Machine)
}

// power boots a machine, whoever it is.
func (s *scene) power(t *testing.T, m lab.Machine) *lab.VM {
	t.Helper()
	vm, err := s.network.Boot(m, s.accel, s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.vms[m.Name] = vm
	return vm
}

// up waits until a machine has come up and returns its boot and its figures.
func (s *scene) up(ctx context.Context, g guest, vm *lab.VM) (fleet.Boot, lab.Figures, error) {
	fail := func(err error) (fleet.Boot, lab.Figures, error) {
		return fleet.Boot{}, lab.Figures{}, fmt.Errorf("%s (%s): %w; the last lines of its console:\n%s", g.Name, g.Firmware, err, vm.Console.Tail(30))
	}
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	login, err := lab.WaitLogin(ctx, vm)
	if err != nil {
		return fail(err)
	}
	b, err := s.controller.WaitBoot(ctx, g.Name, lab.Ready)
	if err != nil {
		return fail(err)
	}
	if err := s.ssh.Wait(ctx, g.ip); err != nil {
		return fail(err)
	}
	f, err := lab.Measure(ctx, s.ssh, vm, g.ip, login, b, s.image)
	if err != nil {
		return fail(err)
	}
	return b, f, nil
}

// mustUp is up for one machine, with its figures logged.
func (s *scene) mustUp(t *testing.T, g guest, vm *lab.VM) (fleet.Boot, lab.Figures) {
	t.Helper()
	b, f, err := s.up(t.Context(), g, vm)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f)
	return b, f
}

// in runs a command in a node and returns what it wrote, without blanks around it.
func (s *scene) in(t *testing.T, g guest, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := s.ssh.Run(ctx, g.ip, command)
	if err != nil {
		t.Fatalf("%s: %v (it wrote %q)", g.Name, err, out)
	}
	return strings.TrimSpace(out)
}

// eventually waits until ok returns true. What it waits for is a sentence.
func eventually(t *testing.T, within time.Duration, what string, ok func(ctx context.Context) (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		done, state := ok(ctx)
		if done {
			return
		}
		if ctx.Err() == nil { // else it was cut short, and tells nothing
			last = state
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s; last: %s", within, what, last)
		case <-tick.C:
		}
	}
}
