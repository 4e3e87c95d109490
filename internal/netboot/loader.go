package netboot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/samara-hpc/samara/internal/netboot/dhcp"
	"github.com/samara-hpc/samara/internal/netboot/tftp"
)

// Where distributions put iPXE: Debian and its kin, then Fedora and its kin.
const (
	debianLoaders = "/usr/lib/ipxe"
	fedoraLoaders = "/usr/share/ipxe"
)

// maxLoader bounds one loader, in bytes: the largest in the field are 1 MB.
const maxLoader = 16 << 20

// The names that loaders are served by.
const (
	biosLoader     = "undionly.kpxe"
	snpLoader      = "snponly.efi"
	fullLoader     = "ipxe.efi"
	snpLoaderARM   = "snponly-arm64.efi"
	fullLoaderARM  = "ipxe-arm64.efi"
	autoexecScript = "autoexec.ipxe"
)

// A loader is a network boot program: the name it is served by, the files that it is found in within a directory of
// Debian, Fedora or iPXE's own archive, and the machine type of its PE header, 0 for a BIOS.
type loader struct {
	name    string
	files   []string
	machine uint16
}

// PE machine types (Microsoft PE format, "Machine Types").
const (
	peAMD64 = 0x8664
	peARM64 = 0xaa64
)

func knownLoaders() []loader {
	return []loader{
		{biosLoader, []string{"undionly.kpxe", "x86_64/undionly.kpxe", "x86_64-pcbios/undionly.kpxe"}, 0},
		{"undionly.kkpxe", []string{"undionly.kkpxe"}, 0},
		{snpLoader, []string{"snponly.efi", "ipxe-snponly-x86_64.efi", "x86_64/snponly.efi", "x86_64-efi/snponly.efi"}, peAMD64},
		{fullLoader, []string{"ipxe.efi", "ipxe-x86_64.efi", "x86_64/ipxe.efi", "x86_64-efi/ipxe.efi"}, peAMD64},
		{snpLoaderARM, []string{"snponly-arm64.efi", "ipxe-snponly-aarch64.efi", "arm64/snponly.efi", "arm64-efi/snponly.efi"}, peARM64},
		{fullLoaderARM, []string{"ipxe-arm64.efi", "ipxe-aarch64.efi", "arm64/ipxe.efi", "arm64-efi/ipxe.efi"}, peARM64},
	}
}

// loaders are what this controller can hand out.
type loaders struct {
	files tftp.Files
	offer dhcp.Loaders
}

// loadLoaders reads the loaders in dir, or where distributions put them if dir is empty. Those for x86 must be there,
// efi (snponly.efi or ipxe.efi) among them. Without one for arm64, offer.ARM64 is empty.
func loadLoaders(dir, efi string) (loaders, error) {
	if efi == "" {
		efi = snpLoader
	}
	if efi != snpLoader && efi != fullLoader {
		return loaders{}, fmt.Errorf("UEFI loader %q: want %s or %s", efi, snpLoader, fullLoader)
	}
	dirs := []string{dir}
	if dir == "" {
		dirs = []string{debianLoaders, fedoraLoaders}
	}
	l := loaders{files: tftp.Files{}}
	for _, want := range knownLoaders() {
		data, err := want.load(dirs)
		switch {
		case err == nil:
			l.files[want.name] = data
		case want.name != biosLoader && want.name != efi && errors.Is(err, fs.ErrNotExist):
		default:
			return loaders{}, fmt.Errorf("network boot program %s: %w", want.name, err)
		}
	}
	l.offer = dhcp.Loaders{BIOS: biosLoader, X64: efi}
	arm := []string{snpLoaderARM, fullLoaderARM}
	if efi == fullLoader {
		arm = []string{fullLoaderARM, snpLoaderARM}
	}
	for _, name := range arm {
		if l.offer.ARM64 == "" && l.files[name] != nil {
			l.offer.ARM64 = name
		}
	}
	return l, nil
}

// load reads the first of l's files that exists. The error wraps fs.ErrNotExist if none does.
func (l loader) load(dirs []string) ([]byte, error) {
	for _, dir := range dirs {
		for _, file := range l.files {
			data, err := l.read(filepath.Join(dir, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return data, err
		}
	}
	return nil, fmt.Errorf("%w in %s; apt-get install ipxe (Fedora: dnf install ipxe-bootimgs)", fs.ErrNotExist, strings.Join(dirs, " or "))
}

func (l loader) read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLoader+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(data) == 0 || len(data) > maxLoader {
		return nil, fmt.Errorf("%s: %d bytes or more, want 1 to %d; apt-get install --reinstall ipxe", path, len(data), maxLoader)
	}
	if err := l.check(data); err != nil {
		return nil, fmt.Errorf("%s: %w; apt-get install --reinstall ipxe", path, err)
	}
	return data, nil
}

// check reports whether data is an executable for l's kind of machine. BIOS loaders have no mark to check.
func (l loader) check(data []byte) error {
	if l.machine == 0 {
		return nil
	}
	if len(data) < 0x40 || string(data[:2]) != "MZ" {
		return errors.New("not an EFI executable")
	}
	at := int64(binary.LittleEndian.Uint32(data[0x3c:]))
	if at+6 > int64(len(data)) || string(data[at:at+4]) != "PE\x00\x00" {
		return errors.New("not an EFI executable")
	}
	if got := binary.LittleEndian.Uint16(data[at+4:]); got != l.machine {
		return fmt.Errorf("made for machine type %#x, want %#x", got, l.machine)
	}
	return nil
}
