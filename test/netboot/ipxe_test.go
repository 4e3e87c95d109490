package netboot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// power switches on a machine without a disk whose network card holds Debian's iPXE. Its BIOS starts over a second after
// it found nothing to boot, as that of a server does.
func (b *bench) power(mac fleet.MAC) {
	b.t.Helper()
	need(b.t, "qemu-system-x86_64", "qemu-system-x86")
	b.ip(b.name, "tuntap add dev machine mode tap")
	b.ip(b.name, "link set machine master br0 up")
	log := filepath.Join(b.t.TempDir(), "console")
	cmd := exec.Command("ip", "netns", "exec", b.name, "qemu-system-x86_64", "-accel", "tcg", "-m", "256",
		"-machine", "q35,graphics=off,sata=off,smbus=off", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
		"-boot", "reboot-timeout=1000", "-serial", "file:"+log,
		"-netdev", "tap,id=net,ifname=machine,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net,bootindex=0,mac="+mac.String())
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.t.Failed() {
			console, _ := os.ReadFile(log)
			b.t.Logf("QEMU: %s\nconsole:\n%s", said.String(), console)
		}
	})
}

// awaitPhase waits until the server has observed a phase of a machine's boot, under whatever id.
func (s *server) awaitPhase(mac fleet.MAC, phase fleet.Phase) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		for _, line := range s.said() {
			if strings.HasPrefix(line, "phase "+mac.String()+" [") && strings.Contains(line, "] "+string(phase)+": ") {
				return
			}
		}
		select {
		case <-s.news:
			continue
		case <-s.done:
		case <-deadline:
		}
		s.t.Fatalf("the server did not observe %s of %s; it said:\n%s", phase, mac, strings.Join(s.said(), "\n"))
	}
}

func TestIPXEGoesOnWhenAControllerDies(t *testing.T) {
	for name, c := range map[string]struct {
		stall string
		fail  func(*member)
		most  time.Duration // until it has what it was waiting for from the next controller
		then  fleet.Phase
	}{
		"killed within the kernel": {"blob", func(m *member) { m.kill() }, 10 * time.Second, "kernel"},
		"silent within the kernel": {"blob", func(*member) {}, 25 * time.Second, fleet.PhaseKernel},
		"killed before the script": {"script", func(m *member) { m.kill() }, patience, fleet.PhaseScript},
	} {
		t.Run(name, func(t *testing.T) {
			crew := newCrew(t)
			first, second := crew.members[0], crew.members[1]
			first.stallAt(c.stall)
			crew.power(diskless)
			first.await("stalled at " + c.stall)
			begin := time.Now()
			c.fail(first)
			crew.know(first)
			second.awaitPhase(diskless, c.then)
			took := time.Since(begin)
			t.Logf("%s after %s", c.then, took.Round(10*time.Millisecond))
			if took > c.most {
				t.Errorf("%s after %s, want it within %s", c.then, took, c.most)
			}
		})
	}
}
