package lab

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/samara-hpc/samara/fleet"
	"golang.org/x/sys/unix"
)

// TestMachinesAskAsTheirFirmwareDoes holds the lab to what it claims: each kind of machine sends the DHCP requests of
// real machines of that kind.
func TestMachinesAskAsTheirFirmwareDoes(t *testing.T) {
	n := newTestNetwork(t)
	conn := listenDHCP(t, n)
	for name, want := range map[string]struct {
		machine     Machine
		arch        iana.Arch
		userClass   string
		vendorClass string
	}{
		"BIOS with iPXE in the card": {Machine{Name: "bios", MAC: fleet.MAC{2, 0x77, 0, 0, 1, 1}, Firmware: BIOS}, iana.INTEL_X86PC, "iPXE", "PXEClient:Arch:00000"},
		"UEFI with its PXE client":   {Machine{Name: "pxe", MAC: fleet.MAC{2, 0x77, 0, 0, 1, 2}, Firmware: UEFIPXE}, iana.EFI_X86_64, "", "PXEClient:Arch:00007"},
		"UEFI with its HTTP client":  {Machine{Name: "http", MAC: fleet.MAC{2, 0x77, 0, 0, 1, 3}, Firmware: UEFIHTTP}, iana.EFI_X86_64_HTTP, "", "HTTPClient:Arch:00016"},
	} {
		t.Run(name, func(t *testing.T) {
			vm, err := n.Boot(want.machine, TCG, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := vm.Off(); err != nil {
					t.Error(err)
				}
			}()
			got := firstDiscover(t, conn, vm)
			t.Logf("after %v: %s", time.Since(vm.On).Round(time.Millisecond), got.Summary())
			if archs := got.ClientArch(); !slices.Contains(archs, want.arch) {
				t.Errorf("option 93: got %v, want %v", archs, want.arch)
			}
			if class := strings.Join(got.UserClass(), ""); class != want.userClass {
				t.Errorf("option 77: got %q, want %q", class, want.userClass)
			}
			if class := got.ClassIdentifier(); !strings.HasPrefix(class, want.vendorClass) {
				t.Errorf("option 60: got %q, want prefix %q", class, want.vendorClass)
			}
		})
	}
}

func newTestNetwork(t *testing.T) *Network {
	t.Helper()
	if err := Need(); err != nil {
		t.Fatal(err)
	}
	const prefix = "samara-lab"
	if err := Sweep(prefix); err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(TestNetworkName(prefix), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// listenDHCP returns a socket in the network that receives what is broadcast to the DHCP server's port.
func listenDHCP(t *testing.T, n *Network) net.PacketConn {
	t.Helper()
	var conn net.PacketConn
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		f := os.NewFile(uintptr(fd), "dhcp")
		defer f.Close()
		err = errors.Join(unix.BindToDevice(fd, Bridge), unix.Bind(fd, &unix.SockaddrInet4{Port: dhcpv4.ServerPort}))
		if err != nil {
			return err
		}
		conn, err = net.FilePacketConn(f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// firstDiscover returns the first DHCPDISCOVER of a machine.
func firstDiscover(t *testing.T, conn net.PacketConn, vm *VM) *dhcpv4.DHCPv4 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	for {
		size, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("no DHCPDISCOVER of %s: %v; its console:\n%s\n%v", vm.Name, err, vm.Console.Tail(30), vm.Ended())
		}
		m, err := dhcpv4.FromBytes(buf[:size])
		if err == nil && m.MessageType() == dhcpv4.MessageTypeDiscover && slices.Equal(m.ClientHWAddr, vm.MAC[:]) {
			return m
		}
	}
}
