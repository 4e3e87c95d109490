// Package e2e boots real firmware, a real kernel and a real Debian from a real controller, and looks at them from
// outside. It needs root, and what test/prepare installs.
package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/test/lab"
)

// TestMachinesBootAndFeedEachOther is one long scene, since every machine that boots costs a minute: each stage goes
// on with the machines of those before it.
func TestMachinesBootAndFeedEachOther(t *testing.T) {
	s := newScene(t, 1)
	for _, stage := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a boot outlives kill -9 of the controller, and an unknown machine gets nothing", s.survivesKill},
		{"UEFI machines boot by PXE and by HTTP", s.bootsUEFI},
		{"the root is an overlay over the blob", s.rootIsOverlay},
		{"the image is in memory once", s.memoryHoldsImageOnce},
		{"systemd is content", s.systemdIsContent},
		{"the agent outlives systemctl isolate", s.agentOutlivesIsolate},
		{"the agent takes what its node leaves", s.agentStepsAside},
		{"the last machine is fed by its peers alone", s.fedByPeers},
		{"a corrupt image is not served, and the cure works", s.corruptImage},
	} {
		if !t.Run(stage.name, stage.run) {
			t.FailNow()
		}
	}
}

var stranger = lab.Machine{Name: "stranger", MAC: fleet.MAC{0x02, 0x77, 0, 0, 0, 99}, Firmware: lab.BIOS}

// survivesKill holds the first boot at the moment when the agent has its manifest and not one byte of its image, by
// cutting the swarm's port; kills the controller there; and lets the boot go on under the next one.
func (s *scene) survivesKill(t *testing.T) {
	if err := s.controller.Host.Cut(fleet.DefaultPorts.Swarm); err != nil {
		t.Fatal(err)
	}
	unknown := s.power(t, stranger)
	vm := s.switchOn(t, n1)
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	before, err := s.controller.WaitBoot(ctx, n1.Name, func(b fleet.Boot) bool { return lab.Reached(b, fleet.PhaseManifest) })
	if err != nil {
		t.Fatalf("%v; the last lines of its console:\n%s", err, vm.Console.Tail(30))
	}
	s.getsNothing(t, unknown)

	if before.Swarm.Have != 0 {
		t.Fatalf("n1 has %d bytes of its image while the swarm's port is cut", before.Swarm.Have)
	}
	s.controller.Process().Kill()
	if err := s.controller.Host.Heal(); err != nil {
		t.Fatal(err)
	}
	s.serve(t)
	after, f := s.mustUp(t, n1, vm)
	if after.ID != before.ID {
		t.Errorf("boot id: got %s, want %s: the machine was not to boot again", after.ID, before.ID)
	}
	if f.Origin < f.Image || f.Peers != 0 {
		t.Errorf("n1, the first: got %d bytes from the origin and %d from peers, want %d and 0", f.Origin, f.Peers, f.Image)
	}
}

// getsNothing checks that a machine that no node claims is listed, and that it gives up.
func (s *scene) getsNothing(t *testing.T, vm *lab.VM) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	said, err := vm.Console.Expect(ctx, regexp.MustCompile(`(?s)iPXE.*(No more network devices|No bootable device)`))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said[0], "Filename:") || strings.Contains(said[0], "http://"+lab.ControllerAddress.String()) {
		t.Errorf("the unknown machine was given something to boot: %q", said[0])
	}
	if err := vm.Off(); err != nil {
		t.Fatal(err)
	}
	var machines []fleet.UnknownMachine
	if err := s.controller.Ask(ctx, &machines, "node", "unknown"); err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		if m.MAC == stranger.MAC {
			if m.Requests == 0 || !strings.HasPrefix(m.VendorClass, "PXEClient") || m.From == "" {
				t.Errorf("unknown machine: got %+v, want its requests, its vendor class and where it came from", m)
			}
			return
		}
	}
	t.Errorf("samara node unknown: got %+v, want %s among them", machines, stranger.MAC)
}

// otherInit is where Debian has its init; /sbin/init leads to it.
const otherInit = "/usr/lib/systemd/systemd"

// bootsUEFI boots two machines, one of which must show its asset tag, and is to run its init by another name.
func (s *scene) bootsUEFI(t *testing.T) {
	tagged := n2
	tagged.Asset = "SAM 7&8"
	boots := []struct {
		guest
		settings []string
		init     string
	}{{tagged, []string{"--asset", tagged.Asset, "--init", otherInit}, otherInit}, {n3, nil, "/sbin/init"}}
	var g errgroup.Group
	for _, b := range boots {
		vm := s.switchOn(t, b.guest, b.settings...)
		g.Go(func() error {
			_, f, err := s.up(t.Context(), b.guest, vm)
			if err != nil {
				return err
			}
			t.Logf("%+v", f)
			if got := f.Origin + f.Peers; got < f.Image {
				return fmt.Errorf("%s: %d bytes received of an image of %d", b.Name, got, f.Image)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, b := range boots {
		if got := s.in(t, b.guest, `tr '\0' '\n' </proc/1/cmdline | head -n 1`); got != b.init {
			t.Errorf("%s: process 1 is %q, want %q", b.Name, got, b.init)
		}
	}
}

func (s *scene) rootIsOverlay(t *testing.T) {
	root := strings.Fields(s.in(t, n1, "findmnt -n -o FSTYPE,OPTIONS /"))
	if len(root) != 2 || root[0] != "overlay" {
		t.Fatalf("findmnt /: got %q, want an overlay", root)
	}
	lower := regexp.MustCompile(`lowerdir=([^,:]+)`).FindStringSubmatch(root[1])
	if lower == nil {
		t.Fatalf("findmnt /: got options %q, want a lower layer", root[1])
	}
	below := strings.Fields(s.in(t, n1, "findmnt -n -o SOURCE,FSTYPE,OPTIONS "+lower[1]))
	if len(below) != 3 || !strings.HasPrefix(below[0], "/dev/loop") || below[1] != "squashfs" || !strings.HasPrefix(below[2], "ro") {
		t.Fatalf("findmnt %s: got %q, want a loop device with a read-only squashfs", lower[1], below)
	}
	loop := strings.TrimPrefix(below[0], "/dev/")
	// What the device holds are the very bytes of the blob; its length is that of the blob up to a sector.
	sum := s.in(t, n1, fmt.Sprintf("head -c %d /dev/%s | sha256sum", s.image.Root.Size, loop))
	if !strings.HasPrefix(sum, s.image.Root.Digest.String()) {
		t.Errorf("SHA-256 of /dev/%s: got %s, want %s", loop, sum, s.image.Root.Digest)
	}
	file := s.in(t, n1, "cat /sys/block/"+loop+"/loop/backing_file")
	if !strings.HasPrefix(file, lab.ImageDir+"/") {
		t.Errorf("/dev/%s: got file %q, want one in %s", loop, file, lab.ImageDir)
	}
}

// slack is what the file system that holds the image may hold besides, in bytes: pages partly filled, small files.
const slack = 64 << 10

func (s *scene) memoryHoldsImageOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	used, err := lab.UsedBytes(ctx, s.ssh, n1.ip, lab.ImageDir)
	if err != nil {
		t.Fatal(err)
	}
	if image := s.image.Root.Size; used < image || used > image+slack {
		t.Errorf("%s: got %d bytes used, want the image's %d and at most %d more", lab.ImageDir, used, image, slack)
	}
	kib, err := strconv.ParseInt(s.in(t, n1, "awk '/^Shmem:/ { print $2 }' /proc/meminfo"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// All that is in any tmpfs, what the node has written since among it.
	if shmem := kib << 10; shmem < s.image.Root.Size || shmem > s.image.Root.Size*3/2 {
		t.Errorf("Shmem: got %d bytes, want the image's %d and less than half of that besides", shmem, s.image.Root.Size)
	}
	t.Logf("image %d bytes, %s %d, Shmem %d; %s", s.image.Root.Size, lab.ImageDir, used, kib<<10,
		strings.Join(lab.Lines(s.in(t, n1, "grep -E '^(MemTotal|MemAvailable|Cached)' /proc/meminfo")), ", "))
}

func (s *scene) systemdIsContent(t *testing.T) {
	for _, g := range []guest{n1, n2, n3} {
		if state := s.in(t, g, "systemctl is-system-running --wait || true"); state != "running" {
			t.Errorf("%s: systemctl is-system-running: got %s, want running; failed units: %s", g.Name, state,
				s.in(t, g, "systemctl --failed --no-legend --plain || true"))
		}
		for command, want := range map[string]string{
			"hostname": g.Name,
			"ip -4 -o addr show to " + g.ip.String() + " | wc -l": "1",
			"test -s /etc/machine-id && echo filled":              "filled",
			"stat -c %a /root/.ssh/authorized_keys":               "600",
		} {
			if got := s.in(t, g, command); got != want {
				t.Errorf("%s: %s: got %q, want %q", g.Name, command, got, want)
			}
		}
	}
}

// findAgent prints the process number of a node's agent, by the argv[0] that systemd spares.
const findAgent = "pgrep -o -f '^@samara-agent'"

func (s *scene) agentOutlivesIsolate(t *testing.T) {
	for _, g := range []guest{n1, n2, n3} {
		before := s.in(t, g, findAgent)
		s.in(t, g, "systemctl isolate multi-user.target && systemctl is-active multi-user.target")
		if after := s.in(t, g, findAgent); after != before {
			t.Errorf("%s: agent is process %s after systemctl isolate, was %s", g.Name, after, before)
		}
	}
	eventually(t, patience, "the controller and three agents are in the mesh", func(ctx context.Context) (bool, string) {
		var status api.Status
		if err := s.controller.Ask(ctx, &status, "status"); err != nil {
			return false, err.Error()
		}
		return status.Members >= 4, fmt.Sprintf("%d members", status.Members)
	})
}

// agentStepsAside looks at the scheduling policies of an agent's threads, of which 5 is SCHED_IDLE (proc_pid_stat(5)), its
// I/O class and its place in the line of the OOM killer.
func (s *scene) agentStepsAside(t *testing.T) {
	got := s.in(t, n1, "p=$("+findAgent+"); cat /proc/$p/task/*/stat | cut -d')' -f2 | cut -d' ' -f40 | sort -u; ionice -p $p; cat /proc/$p/oom_score_adj")
	if want := "5\nidle\n-900"; strings.TrimSpace(got) != want {
		t.Errorf("the agent's policies, I/O class and OOM score are %q, want %q", got, want)
	}
}

// fedByPeers also shows that the agents still seed after the stage before.
func (s *scene) fedByPeers(t *testing.T) {
	if err := s.controller.Host.Cut(fleet.DefaultPorts.Swarm); err != nil {
		t.Fatal(err)
	}
	_, f := s.mustUp(t, n4, s.switchOn(t, n4))
	if f.Origin != 0 || f.Peers < f.Image {
		t.Errorf("n4: got %d bytes from the origin and %d from peers, want 0 and %d", f.Origin, f.Peers, f.Image)
	}
	if err := s.controller.Host.Heal(); err != nil {
		t.Fatal(err)
	}
}

// corruptImage flips a byte of the image on the controller's disk while nobody else has it. A machine that boots gets
// no corrupt image, waits, and boots once the cure that the controller names has been taken.
func (s *scene) corruptImage(t *testing.T) {
	for _, g := range []guest{n1, n2, n3, n4} {
		if err := s.vms[g.Name].Off(); err != nil {
			t.Fatal(err)
		}
	}
	// Bytes that were checked before may be served from memory, so the controller starts anew.
	if err := s.controller.Process().Terminate(patience); err != nil {
		t.Errorf("samara serve after SIGTERM: %v", err)
	}
	root := s.controller.BlobPath(s.image.Root)
	flip(t, root, s.image.Root.Size/2)
	s.serve(t)
	vm := s.power(t, n1.Machine)
	s.saysCorrupt(t, root)

	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	stuck, err := s.controller.WaitBoot(ctx, n1.Name, func(b fleet.Boot) bool {
		return lab.Reached(b, fleet.PhaseManifest) || b.Failure != ""
	})
	if err != nil {
		t.Fatalf("%v; the last lines of its console:\n%s", err, vm.Console.Tail(30))
	}
	if stuck.Swarm.Complete || stuck.Swarm.Have >= s.image.Root.Size || lab.Reached(stuck, fleet.PhaseVerified) {
		t.Errorf("n1 has a corrupt image: %+v", stuck)
	}
	s.importImage(t)
	if v := s.image; v.Number != 2 {
		t.Errorf("version after importing again: got %d, want 2", v.Number)
	}
	s.mustUp(t, n1, vm)
}

// saysCorrupt waits until the controller names a corrupt file and the cure, in its log or in its status.
func (s *scene) saysCorrupt(t *testing.T, path string) {
	t.Helper()
	const cure = "samara image import"
	eventually(t, bootLimit, "the controller names "+path+" and the cure", func(ctx context.Context) (bool, string) {
		if logged, err := s.controller.LogSays(path, cure); logged || err != nil {
			return logged, fmt.Sprint(err)
		}
		var status api.Status
		if err := s.controller.Ask(ctx, &status, "status"); err != nil {
			return false, err.Error()
		}
		for _, p := range status.Problems {
			if text := p.What + " " + p.Cure; strings.Contains(text, path) && strings.Contains(text, cure) {
				return true, ""
			}
		}
		return false, fmt.Sprintf("problems %+v", status.Problems)
	})
}

// flip inverts one byte of a file, whatever its mode.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
