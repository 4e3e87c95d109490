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

// power switches on a machine without a disk whose network card holds Debian's iPXE, and whose chassis has an asset tag
// unless that is "". Its BIOS starts over a second after it found nothing to boot, as that of a server does. It returns the
// file that its console is written to.
func (b *bench) power(mac fleet.MAC, asset string) string {
	b.t.Helper()
	need(b.t, "qemu-system-x86_64", "qemu-system-x86")
	b.ip(b.name, "tuntap add dev machine mode tap")
	b.ip(b.name, "link set machine master br0 up")
	log := filepath.Join(b.t.TempDir(), "console")
	cmd := exec.Command("ip", "netns", "exec", b.name, "qemu-system-x86_64", "-accel", "tcg", "-m", "256",
		"-machine", "q35,graphics=off,sata=off,smbus=off", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
		"-boot", "reboot-timeout=1000", "-serial", "file:"+log,
		"-netdev", "tap,id=net,ifname=machine,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net,bootindex=0,mac="+mac.String(),
		"-smbios", "type=3,asset="+asset)
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
	return log
}

// TestIPXEShowsItsAssetTag has iPXE say what it read from its firmware, to a controller that wants another tag.
func TestIPXEShowsItsAssetTag(t *testing.T) {
	b := newBench(t)
	console := b.power(keyed, "CZ 12&7%42 ")
	const reason = `node n4 wants another asset key than "CZ 12&7%42", the asset tag of this machine; if it is n4 all the same: samara node set n4 --asset TAG`
	b.await("refused " + keyed.String() + ": " + reason)
	for _, line := range b.said() {
		if strings.Contains(line, "script") || strings.Contains(line, assetKey) {
			t.Errorf("the server said %q", line)
		}
	}
	b.awaitConsole(console, "Samara: node n4 wants another asset key")
}

// awaitConsole waits until a machine's console shows text.
func (b *bench) awaitConsole(log, text string) {
	b.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		shown, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(shown), text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("the console does not show %q: %v", text, err)
		}
	}
}

// TestIPXEGoesOnWhenAControllerDies boots a node with an asset key, so that iPXE asks for two scripts.
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
			crew.power(keyed, assetKey)
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
				return strings.HasPrefix(line, "phase "+keyed.String()+" [") && strings.Contains(line, "] "+string(c.then)+": ")
			})
			took := time.Since(begin)
			t.Logf("%s after %s", c.then, took.Round(10*time.Millisecond))
			if took > c.most {
				t.Errorf("%s after %s, want it within %s", c.then, took, c.most)
			}
		})
	}
}
