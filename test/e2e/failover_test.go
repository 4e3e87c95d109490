package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
)

// TestBootsOutliveTheLeader kills the controller that leads at six points of machines' boots, two points in each boot.
// A killed controller stays away until the machine has gone on without it.
func TestBootsOutliveTheLeader(t *testing.T) {
	s := newScene(t, 3)
	for number, round := range []struct{ early, late point }{
		{offered, manifestAsked},
		{scriptAsked, halfImage},
		{kernelUnderway, mounted},
	} {
		if !t.Run(fmt.Sprintf("kill -9 of the leader %s, and %s", round.early.name, round.late.name), func(t *testing.T) {
			s.bootThroughKills(t, number+1, round.early, round.late)
		}) {
			t.FailNow()
		}
	}
	t.Run("one controller of three boots a known node, and refuses changes", s.bootsWithoutQuorum)
}

// A point is a moment of a machine's boot. Its wait returns at that moment.
type point struct {
	name string
	// retries is how often the firmware may have to try the network again if the controller dies there: until iPXE has its
	// script it knows of one controller only, gives up, and leaves the next attempt to the firmware.
	retries int
	wait    func(ctx context.Context, s *scene, vm *lab.VM) error
}

// Points of a boot. Those before the agent are seen on the machine's cable.
var (
	offered = point{"once the machine is offered its address", 1, captured(func() func(lab.Packet) bool {
		return func(p lab.Packet) bool { return !p.Sent && !p.TCP && p.From.Port() == 67 }
	})}
	scriptAsked = point{"once it asks for its script", 1, captured(func() func(lab.Packet) bool {
		return func(p lab.Packet) bool {
			return p.Sent && p.To.Port() == fleet.DefaultPorts.Boot && bytes.HasPrefix(p.Payload, []byte("GET /boot/"))
		}
	})}
	kernelUnderway = point{"while it loads its kernel", 0, captured(func() func(lab.Packet) bool {
		return received(fleet.DefaultPorts.Boot, 2<<20)
	})}
	manifestAsked = point{"once it asks for its manifest", 0, captured(func() func(lab.Packet) bool {
		return func(p lab.Packet) bool { return p.Sent && p.SYN && p.To.Port() == fleet.DefaultPorts.Control }
	})}
	halfImage = point{"when it has half of its image", 0, func(ctx context.Context, s *scene, vm *lab.VM) error {
		return vm.Capture(ctx, received(fleet.DefaultPorts.Swarm, s.image.Root.Size/2))
	}}
	mounted = point{"when its root is mounted", 0, func(ctx context.Context, s *scene, vm *lab.VM) error {
		_, err := s.controller.WaitBoot(ctx, vm.Name, func(b fleet.Boot) bool { return lab.Reached(b, fleet.PhaseMounted) })
		return err
	}}
)

func captured(match func() func(lab.Packet) bool) func(context.Context, *scene, *lab.VM) error {
	return func(ctx context.Context, _ *scene, vm *lab.VM) error { return vm.Capture(ctx, match()) }
}

// received matches once a machine was sent that many bytes from a TCP port.
func received(port uint16, want int64) func(lab.Packet) bool {
	var got int64
	return func(p lab.Packet) bool {
		if !p.Sent && p.TCP && p.From.Port() == port {
			got += int64(p.Length)
		}
		return got >= want
	}
}

// bootThroughKills boots two machines and kills the leader at two points of the first one's boot.
func (s *scene) bootThroughKills(t *testing.T, number int, early, late point) {
	leader := s.leader(t)
	first := newGuest(fmt.Sprintf("k%da", number), byte(20+2*number), lab.BIOS)
	first.MAC = answeredBy(leader, s.cluster, byte(number))
	second := newGuest(fmt.Sprintf("k%db", number), byte(21+2*number), []lab.Firmware{lab.BIOS, lab.UEFIPXE, lab.UEFIHTTP}[number-1])
	vms := []*lab.VM{s.switchOn(t, first), s.switchOn(t, second)}
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()

	s.killAt(ctx, t, leader, early, vms[0])
	// That it was loaded may be known only to the one that was killed; then the agent tells that it runs.
	loaded := func(b fleet.Boot) bool {
		return lab.Reached(b, fleet.PhaseInitramfs) || lab.Reached(b, fleet.PhaseAgent)
	}
	if _, err := s.controller.WaitBoot(ctx, first.Name, loaded); err != nil {
		t.Fatalf("without %s: %v; the last lines of its console:\n%s", leader.Host.ID, err, vms[0].Console.Tail(30))
	}
	s.revive(t, leader)

	leader = s.leader(t)
	s.killAt(ctx, t, leader, late, vms[0])
	var g errgroup.Group
	for i, guest := range []guest{first, second} {
		g.Go(func() error {
			_, f, err := s.up(ctx, guest, vms[i])
			t.Logf("%+v", f)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("without %s: %v", leader.Host.ID, err)
	}
	if starts := firmwareStarts(t, vms[0]); starts < 1 || starts > 1+early.retries {
		t.Errorf("%s: its firmware started %d times, want at most %d", first.Name, starts, 1+early.retries)
	}
	for _, vm := range vms {
		if err := vm.Off(); err != nil {
			t.Fatal(err)
		}
	}
	s.revive(t, leader)
}

// answeredBy returns the address of a machine that this controller is the first to answer.
func answeredBy(c *lab.Controller, cluster *lab.Cluster, series byte) fleet.MAC {
	var all []fleet.Controller
	for _, one := range cluster.Controllers {
		all = append(all, fleet.Controller{ID: one.Host.ID})
	}
	for mac := (fleet.MAC{0x02, 0x77, 0, 1, series, 0}); ; mac[5]++ {
		if fleet.Order(mac, all)[0].ID == c.Host.ID {
			return mac
		}
	}
}

// killAt kills a controller at a point of a machine's boot. Another one is asked from then on.
func (s *scene) killAt(ctx context.Context, t *testing.T, c *lab.Controller, p point, vm *lab.VM) {
	t.Helper()
	for _, other := range s.cluster.Controllers {
		if other != c {
			s.controller = other
		}
	}
	if err := p.wait(ctx, s, vm); err != nil {
		t.Fatalf("%s: %v; the last lines of its console:\n%s", p.name, err, vm.Console.Tail(30))
	}
	c.Kill()
	t.Logf("%4.1f s: killed %s %s", time.Since(vm.On).Seconds(), c.Host.ID, p.name)
}

// leader returns the controller that leads.
func (s *scene) leader(t *testing.T) *lab.Controller {
	t.Helper()
	var leader *lab.Controller
	eventually(t, patience, "a controller leads", func(ctx context.Context) (bool, string) {
		var err error
		leader, err = s.cluster.Leader(ctx)
		return err == nil, fmt.Sprint(err)
	})
	return leader
}

// revive starts killed controllers again and waits until the cluster is whole.
func (s *scene) revive(t *testing.T, killed ...*lab.Controller) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, c := range killed {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.cluster.WaitWhole(ctx); err != nil {
		t.Fatal(err)
	}
}

// firmwareStarts returns how often a BIOS machine's firmware began.
func firmwareStarts(t *testing.T, vm *lab.VM) int {
	t.Helper()
	b, err := os.ReadFile(vm.Console.Path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte("SeaBIOS (version"))
}

// bootsWithoutQuorum leaves one controller, which knows a node of an earlier round.
func (s *scene) bootsWithoutQuorum(t *testing.T) {
	leader := s.leader(t)
	killed := []*lab.Controller{leader}
	for _, c := range s.cluster.Controllers {
		switch {
		case c == leader:
		case len(killed) == 1:
			killed = append(killed, c)
		default:
			s.controller = c
		}
	}
	for _, c := range killed {
		c.Kill()
	}
	known := newGuest("k1b", 23, lab.BIOS)
	vm := s.power(t, known.Machine)
	s.mustUp(t, known, vm)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := s.controller.Run(ctx, "node", "set", known.Name, "--rack", "r1")
	if err == nil || !strings.Contains(err.Error(), "majority") || !strings.Contains(err.Error(), "samara controller recover") {
		t.Errorf("a change with one controller of three: got %v, want a refusal that says why and what to do", err)
	}
	if err := vm.Off(); err != nil {
		t.Fatal(err)
	}
	s.revive(t, killed...)
}
