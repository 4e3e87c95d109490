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

func TestIPXEGoesOnWhenAControllerDies(t *testing.T) {
	for name, c := range map[string]struct {
		stall string
		dies  bool          // or only falls silent
		most  time.Duration // until it has what it was waiting for from another controller
		then  fleet.Phase
	}{
		"killed within the kernel": {"blob", true, 10 * time.Second, fleet.PhaseKernel},
		"silent within the kernel": {"blob", false, 25 * time.Second, fleet.PhaseKernel},
		"killed before the script": {"script", true, patience, fleet.PhaseScript},
	} {
		t.Run(name, func(t *testing.T) {
			crew := newCrew(t)
			for _, m := range crew.members {
				m.stallAt(c.stall)
			}
			crew.power(diskless)
			first := crew.awaitAny(crew.members, "that it is stalled", func(line string) bool { return line == "stalled at "+c.stall })
			others := crew.without(first)
			for _, m := range others {
				m.stallAt("nothing")
			}
			begin := time.Now()
			if c.dies {
				crew.kill(first)
			}
			crew.awaitAny(others, "that it got as far as "+string(c.then), func(line string) bool {
				return strings.HasPrefix(line, "phase "+diskless.String()+" [") && strings.Contains(line, "] "+string(c.then)+": ")
			})
			took := time.Since(begin)
			t.Logf("%s after %s", c.then, took.Round(10*time.Millisecond))
			if took > c.most {
				t.Errorf("%s after %s, want it within %s", c.then, took, c.most)
			}
		})
	}
}
