package lab

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

func TestCaptureSeesWhatAMachineSends(t *testing.T) {
	n := newTestNetwork(t)
	vm, err := n.Boot(Machine{Name: "m", MAC: fleet.MAC{2, 0x77, 0, 0, 1, 5}, Firmware: BIOS}, TCG, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = vm.Capture(ctx, func(p Packet) bool {
		return p.Sent && !p.TCP && p.From.Port() == 68 && p.To == netip.MustParseAddrPort("255.255.255.255:67") &&
			p.Length > 240 && len(p.Payload) > 0 && p.Payload[0] == 1 // BOOTREQUEST
	})
	if err != nil {
		t.Errorf("no DHCP request: %v; its console:\n%s", err, vm.Console.Tail(30))
	}
}

func TestFramesCutShortAreNoPackets(t *testing.T) {
	frame := make([]byte, 14+20+20)
	frame[12], frame[14], frame[14+9] = 0x08, 0x45, 6
	for size := range frame {
		if p, ok := parsePacket(frame[:size]); ok {
			t.Errorf("%d bytes of a frame are %+v", size, p)
		}
	}
	for i := range frame { // whatever stands in it, nothing is read beyond it
		frame[i] = 0xff
		parsePacket(frame)
	}
}
