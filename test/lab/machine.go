package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

const qemu = "qemu-system-x86_64"

// Firmware is what a machine runs when it is switched on, and how that looks for something to boot.
type Firmware string

// The firmware of machines: SeaBIOS with QEMU's iPXE in the network card, and OVMF with its own PXE or HTTP client.
const (
	BIOS     Firmware = "BIOS"
	UEFIPXE  Firmware = "UEFI PXE"
	UEFIHTTP Firmware = "UEFI HTTP"
)

// A Machine is a computer without a disk.
type Machine struct {
	Name     string // at most 15 characters, being its tap's name too
	MAC      fleet.MAC
	Firmware Firmware
	Memory   int    // MiB; 0 is 1024
	CPUs     int    // 0 is 1
	Asset    string // the asset tag of its chassis, without commas; "" for none
}

// A VM is a Machine that is switched on.
type VM struct {
	Machine
	*Process           // QEMU; its log holds what QEMU itself has to say
	Console  *Console  // the serial console
	On       time.Time // when it was switched on
	monitor  string    // socket of QEMU's monitor
	network  *Network
}

// Boot attaches m to the network and switches it on. Its files, the console's log NAME.console among them, lie in dir.
func (n *Network) Boot(m Machine, accel Accelerator, dir string) (*VM, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.Name, err)
	}
	path := func(suffix string) string { return filepath.Join(dir, m.Name+suffix) }
	args := append(accel.args(),
		"-name", m.Name, "-uuid", uuidOf(m.MAC),
		"-m", strconv.Itoa(orDefault(m.Memory, 1024)), "-smp", strconv.Itoa(orDefault(m.CPUs, 1)),
		"-machine", "q35,graphics=off,sata=off,smbus=off", // without graphics, SeaBIOS shows itself on the serial console
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
		"-chardev", "socket,id=serial,path="+path(".serial")+",server=on,wait=off,logfile="+path(".console")+",logappend=off",
		"-serial", "chardev:serial",
		"-qmp", "unix:"+path(".monitor")+",server=on,wait=off",
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
		"-netdev", "tap,id=net,ifname="+m.Name+",script=no,downscript=no",
	)
	if m.Asset != "" {
		args = append(args, "-smbios", "type=3,asset="+m.Asset)
	}
	// A console of an earlier time is kept, but must not be taken for this one.
	if err := os.Rename(path(".console"), path(".console.before")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("machine %s: %w", m.Name, err)
	}
	firmware, err := m.Firmware.args(m.MAC, path(".vars"))
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.Name, err)
	}
	if err := n.AddTap(m.Name); err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.Name, err)
	}
	on := time.Now()
	p, err := StartProcess("machine "+m.Name, path(".qemu"), n.Command(qemu, append(args, firmware...)...))
	if err != nil {
		return nil, err
	}
	vm := &VM{Machine: m, Process: p, On: on, monitor: path(".monitor"), network: n}
	vm.Console = &Console{Path: path(".console"), ended: p.Ended}
	return vm, nil
}

// args returns what makes QEMU boot with f from a network card with that address. vars is where a machine's own copy
// of OVMF's variables goes.
func (f Firmware) args(mac fleet.MAC, vars string) ([]string, error) {
	nic := "virtio-net-pci,netdev=net,bootindex=0,mac=" + mac.String()
	if f == BIOS {
		// QEMU puts iPXE into the card by itself. Like a server that is set to boot from the network alone, the machine
		// tries again when that has failed.
		return []string{"-device", nic, "-boot", "reboot-timeout=2000"}, nil
	}
	if err := copyFile(ovmfVars, vars); err != nil {
		return nil, err
	}
	args := []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + ovmfCode,
		"-drive", "if=pflash,unit=1,format=raw,file=" + vars,
		"-device", nic + ",romfile=", // no iPXE in the card: OVMF's own network stack is what is wanted
		"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n",
	}
	if f == UEFIHTTP {
		args = append(args, "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n")
	}
	return args, nil
}

// Monitor connects to QEMU's monitor. The caller closes it.
func (v *VM) Monitor(ctx context.Context) (*Monitor, error) { return dialMonitor(ctx, v.monitor) }

// Reset power-cycles a machine that hangs or is to boot again.
func (v *VM) Reset(ctx context.Context) error {
	m, err := v.Monitor(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Execute(ctx, "system_reset", nil, nil)
}

// Off switches the machine off, as by its plug, and unplugs it from the network, so that it can boot again.
func (v *VM) Off() error {
	v.Kill()
	return v.network.ip("link", "del", "dev", v.Name)
}

// uuidOf returns a UUID of version 8 (RFC 9562) that no two machines of a lab share.
func uuidOf(mac fleet.MAC) string { return fmt.Sprintf("77000000-0000-8000-8000-%x", mac[:]) }

func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return dst.Close()
}
