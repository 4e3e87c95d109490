package lab

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

func TestMachineObeysItsMonitor(t *testing.T) {
	n := newTestNetwork(t)
	vm, err := n.Boot(Machine{Name: "m", MAC: fleet.MAC{2, 0x77, 0, 0, 1, 4}, Firmware: BIOS}, TCG, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bios := regexp.MustCompile(`SeaBIOS`)
	if _, err := vm.Console.Expect(ctx, bios); err != nil {
		t.Fatal(err)
	}
	if err := vm.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Console.Expect(ctx, bios); err != nil {
		t.Errorf("after a reset: %v", err)
	}
	m, err := vm.Monitor(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if status, err := m.Status(ctx); err != nil || status != "running" {
		t.Errorf("status: got %q, %v, want running", status, err)
	}
	if err := m.Execute(ctx, "no-such-command", nil, nil); err == nil || !strings.Contains(err.Error(), "no-such-command") {
		t.Errorf("a command that QEMU has not: got %v, want an error that names it", err)
	}
	if err := m.Execute(ctx, "quit", nil, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-vm.Done():
	case <-ctx.Done():
		t.Fatal("the machine is on after quit")
	}
	if err := vm.Ended(); err == nil || !strings.Contains(err.Error(), "exit status 0") {
		t.Errorf("Ended: got %v, want how it ended", err)
	}
}
