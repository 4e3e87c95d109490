package lab

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Where Debian and Ubuntu install the firmware for UEFI machines, package ovmf.
const (
	ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// A need is a program, or a file if it begins with a slash, and the package that provides it.
type need struct{ what, pkg string }

var needs = []need{
	{"qemu-system-x86_64", "qemu-system-x86"},
	{ovmfCode, "ovmf"},
	{"/usr/lib/ipxe/undionly.kpxe", "ipxe"},
	{"/usr/lib/ipxe/qemu/efi-virtio.rom", "ipxe-qemu"},
	{"mksquashfs", "squashfs-tools"},
	{"mmdebstrap", "mmdebstrap"},
	{debianKeyring, "debian-archive-keyring"},
	{"ip", "iproute2"},
	{"ssh", "openssh-client"},
}

// Need returns nil if this process can run a lab, and otherwise an error that says what is missing and how to get it.
func Need() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a lab makes network namespaces and mounts: run it as root, such as with sudo")
	}
	var missing []string
	for _, n := range needs {
		if !present(n.what) && !slices.Contains(missing, n.pkg) {
			missing = append(missing, n.pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("this machine lacks packages; install them: apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	return nil
}

func present(what string) bool {
	if strings.HasPrefix(what, "/") {
		_, err := os.Stat(what)
		return err == nil
	}
	_, err := exec.LookPath(what)
	return err == nil
}
