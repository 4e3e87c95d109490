package netboot

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

func TestPhasesOfABoot(t *testing.T) {
	ip := netip.MustParseAddr("10.1.0.11")
	type follower struct {
		*boots
		clock *time.Time
	}
	firmware := func(f follower) { f.dhcp(dhcp.Client{MAC: nodeMAC, Kind: dhcp.PXE}, 0) }
	loaded := func(f follower) { f.dhcp(dhcp.Client{MAC: nodeMAC, Kind: dhcp.IPXE, HTTP: true}, 0) }
	system := func(f follower) { f.dhcp(dhcp.Client{MAC: nodeMAC}, 0) }
	loader := func(f follower) { f.sent(nodeMAC, fleet.PhaseLoader, "file") }
	script := func(id string) func(follower) {
		return func(f follower) { f.script(nodeMAC, id, ip); f.sent(nodeMAC, fleet.PhaseScript, "image") }
	}
	kernelSent := func(f follower) { f.sent(nodeMAC, fleet.PhaseKernel, "k") }
	initramfsSent := func(f follower) { f.sent(nodeMAC, fleet.PhaseInitramfs, "i") }
	later := func(d time.Duration) func(follower) { return func(f follower) { *f.clock = f.clock.Add(d) } }

	for name, c := range map[string]struct {
		steps []func(follower)
		want  string
	}{
		"BIOS, discover and request": {
			[]func(follower){firmware, firmware, loader, loaded, loaded, script("a"), kernelSent, initramfsSent, system, system},
			"dhcp loader script(a) kernel(a) initramfs(a)",
		},
		"iPXE in the ROM":           {[]func(follower){loaded, loaded, script("a"), kernelSent}, "dhcp script(a) kernel(a)"},
		"firmware tries again":      {[]func(follower){firmware, later(5 * time.Second), firmware, loader}, "dhcp loader"},
		"restart after the loader":  {[]func(follower){firmware, loader, later(time.Second), firmware}, "dhcp loader dhcp"},
		"restart with iPXE ROM":     {[]func(follower){loaded, script("a"), kernelSent, loaded, script("b")}, "dhcp script(a) kernel(a) dhcp script(b)"},
		"script asked for again":    {[]func(follower){loaded, script("a"), script("b"), kernelSent}, "dhcp script(a) script(b) kernel(b)"},
		"kernel fetched twice":      {[]func(follower){script("a"), kernelSent, kernelSent, initramfsSent, kernelSent}, "script(a) kernel(a) initramfs(a)"},
		"hung loader, much later":   {[]func(follower){firmware, loader, later(time.Hour), loaded}, "dhcp loader dhcp"},
		"controller started midway": {[]func(follower){loader, kernelSent}, "loader kernel"},
		"operating system alone":    {[]func(follower){system}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, clock := newWitness(), time.Unix(1000, 0)
			f := follower{newBoots(w, func() time.Time { return clock }), &clock}
			for _, step := range c.steps {
				step(f)
			}
			var got []string
			for _, line := range w.lines {
				words := strings.Fields(line)
				if id := strings.Trim(words[1], `"`); id != "" {
					words[2] += "(" + id + ")"
				}
				got = append(got, words[2])
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestBootsAreBounded(t *testing.T) {
	clock := time.Unix(1000, 0)
	b := newBoots(newWitness(), func() time.Time { return clock })
	for i := range maxBoots + 10 {
		b.script(fleet.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, "id", netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if len(b.byMAC) > maxBoots || len(b.byIP) > maxBoots {
		t.Errorf("%d boots at %d addresses, want at most %d", len(b.byMAC), len(b.byIP), maxBoots)
	}
	clock = clock.Add(time.Hour)
	b.script(alienMAC, "id", netip.MustParseAddr("10.9.9.9"))
	if len(b.byMAC) != 1 || len(b.byIP) != 1 {
		t.Errorf("after an hour: %d boots at %d addresses, want 1", len(b.byMAC), len(b.byIP))
	}
}

func TestMachineIsFoundByItsAddress(t *testing.T) {
	b, state := newBoots(newWitness(), time.Now), testState(t, 1)
	b.script(labMAC, "id", netip.MustParseAddr("192.168.7.7"))
	for ip, want := range map[string]fleet.MAC{"10.1.0.11": nodeMAC, "192.168.7.7": labMAC, "192.168.7.8": {}} {
		if got, _ := b.at(state, netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: got %s, want %s", ip, got, want)
		}
	}
}
