package lab

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Figures are what was measured of one boot of one node.
type Figures struct {
	Name     string             `json:"name"`
	Firmware Firmware           `json:"firmware"`
	Booted   bool               `json:"booted"`
	Login    float64            `json:"login_s"`         // seconds from power-on to the login prompt
	Phases   map[string]float64 `json:"phases"`          // seconds that each phase took, from the one before it or from power-on
	Origin   int64              `json:"origin_bytes"`    // of the image, from controllers
	Peers    int64              `json:"peer_bytes"`      // of the image, from other nodes
	Image    int64              `json:"image_bytes"`     // size of the image as it is distributed
	RAMImage int64              `json:"ram_image_bytes"` // used of the file system in RAM that holds it
}

// WaitLogin waits for the login prompt on a machine's serial console and returns how long after power-on it came.
func WaitLogin(ctx context.Context, vm *VM) (time.Duration, error) {
	if _, err := vm.Console.Expect(ctx, regexp.MustCompile(regexp.QuoteMeta(vm.Name)+` login: `)); err != nil {
		return 0, err
	}
	return time.Since(vm.On), nil
}

// Ready reports whether b is over: the image's init says that the system is up, and the image is whole.
func Ready(b fleet.Boot) bool { return Reached(b, fleet.PhaseReady) && b.Swarm.Complete }

// Reached reports whether b has reached p.
func Reached(b fleet.Boot, p fleet.Phase) bool {
	return slices.ContainsFunc(b.Phases, func(e fleet.PhaseEvent) bool { return e.Phase == p })
}

// Progress says in a few words how far a boot has come.
func Progress(b fleet.Boot, image int64) string {
	if len(b.Phases) == 0 {
		return "asking for an address"
	}
	last := b.Phases[len(b.Phases)-1]
	text := string(last.Phase)
	if b.Swarm.Have > 0 && !b.Swarm.Complete && image > 0 {
		text += fmt.Sprintf(", %d %% of the image", b.Swarm.Have*100/image)
	}
	if b.Failure != "" {
		text += ", failing: " + b.Failure
	}
	return text
}

// Measure returns the figures of a machine that has come up after login, given its boot and its image.
func Measure(ctx context.Context, s *SSH, vm *VM, ip netip.Addr, login time.Duration, b fleet.Boot, image fleet.ImageVersion) (Figures, error) {
	f := Figures{Name: vm.Name, Firmware: vm.Firmware, Booted: Ready(b), Login: login.Seconds(), Phases: phaseSeconds(b, vm.On),
		Origin: b.Swarm.FromOrigin, Peers: b.Swarm.FromPeers, Image: image.Root.Size}
	used, err := UsedBytes(ctx, s, ip, ImageDir)
	f.RAMImage = used
	return f, err
}

// ImageDir is where a node keeps its image: a file system in RAM that holds little else.
const ImageDir = "/run/samara"

// UsedBytes returns how much of a node's file system is used.
func UsedBytes(ctx context.Context, s *SSH, ip netip.Addr, dir string) (int64, error) {
	out, err := s.Run(ctx, ip, "df -B1 --output=used,target "+dir)
	if err != nil {
		return 0, err
	}
	lines := Lines(out)
	fields := strings.Fields(lines[len(lines)-1])
	if len(fields) != 2 || fields[1] != dir {
		return 0, fmt.Errorf("%s: %s is no file system of its own: %q", ip, dir, out)
	}
	return strconv.ParseInt(fields[0], 10, 64)
}

// phaseSeconds returns how long each phase took, the first one since on.
func phaseSeconds(b fleet.Boot, on time.Time) map[string]float64 {
	took := map[string]float64{}
	before := on
	for _, e := range b.Phases {
		took[string(e.Phase)] = max(0, e.At.Sub(before).Seconds())
		before = e.At
	}
	return took
}
