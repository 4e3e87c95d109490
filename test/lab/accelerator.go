package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// An Accelerator is how QEMU runs a guest's instructions.
type Accelerator string

// KVM runs them on the processor. TCG translates them, about ten times slower, and works everywhere.
const (
	KVM Accelerator = "kvm"
	TCG Accelerator = "tcg"
)

func (a Accelerator) args() []string {
	if a == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
}

// probeStatus is QEMU's exit status once the probe wrote probeByte to the isa-debug-exit device: value*2+1.
const (
	probeByte   = 0x10
	probeStatus = probeByte*2 + 1
)

// probeSector is a boot sector: mov al, probeByte; mov dx, 0x00f4; out dx, al; hlt.
var probeSector = [512]byte{0xb0, probeByte, 0xba, 0xf4, 0x00, 0xee, 0xf4, 510: 0x55, 511: 0xaa}

// Probe returns KVM if it runs a guest here, with the very processor that machines get, and TCG otherwise. That
// /dev/kvm can be opened does not say so: nested virtualisation is often there and broken.
func Probe(ctx context.Context) (Accelerator, error) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return TCG, nil
	}
	dir, err := os.MkdirTemp("", "samara-probe-")
	if err != nil {
		return "", fmt.Errorf("probe for KVM: %w", err)
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "sector")
	if err := os.WriteFile(disk, probeSector[:], 0o600); err != nil {
		return "", fmt.Errorf("probe for KVM: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	args := append(KVM.args(), "-display", "none", "-nodefaults", "-drive", "if=ide,format=raw,file="+disk,
		"-device", "isa-debug-exit,iobase=0xf4,iosize=1")
	err = exec.CommandContext(ctx, qemu, args...).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == probeStatus {
		return KVM, nil
	}
	return TCG, nil
}
