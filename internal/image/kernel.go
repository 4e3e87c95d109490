package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A kernel is a bootable kernel found in an image.
type kernel struct {
	name    string // in the image
	release string
	arch    string
	modules string // the directory of its modules, in the image
	bytes   []byte // its file
}

// maxKernel bounds the file of a kernel, in bytes.
const maxKernel = 256 << 20

// inspect finds the kernel and makes sure that a node can boot with it.
func (c contents) inspect(ctx context.Context, compression string) (kernel, []string, error) {
	if _, n, ok := c.index.resolve("sbin/init"); !ok || n.kind != regular {
		return kernel{}, nil, errors.New("there is no init at /sbin/init: install systemd-sysv in it")
	}
	k, err := c.index.kernel()
	if err != nil {
		return kernel{}, nil, err
	}
	if k.bytes, err = c.read(ctx, k.name, maxKernel); err != nil {
		return kernel{}, nil, err
	}
	release, arch, err := identify(k.bytes)
	if err != nil {
		return kernel{}, nil, fmt.Errorf("kernel /%s: %w", k.name, err)
	}
	if release != "" && release != k.release {
		return kernel{}, nil, fmt.Errorf("kernel /%s says that it is %s: install its package in it again", k.name, release)
	}
	k.arch = arch
	if err := c.checkDrivers(ctx, k, compression); err != nil {
		return kernel{}, nil, err
	}
	warnings, err := c.warnings(ctx)
	return k, warnings, err
}

// kernel returns the kernel with the newest release that also has its modules in the image.
func (x *index) kernel() (kernel, error) {
	var best kernel
	lonely := ""
	for _, name := range x.match("boot/vmlinuz-*", "boot/Image-*", "boot/vmlinux-*",
		"lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz", "lib/modules/*/Image", "usr/lib/modules/*/Image") {
		dir, base := path.Split(name)
		release := path.Base(dir)
		if dir == "boot/" {
			_, release, _ = strings.Cut(base, "-")
		}
		real, n, ok := x.resolve(name)
		if !ok || n.kind != regular {
			continue
		}
		modules, ok := x.modules(release)
		if !ok {
			lonely = release
			continue
		}
		if best.name == "" || compareReleases(release, best.release) > 0 {
			best = kernel{name: real, release: release, modules: modules}
		}
	}
	switch {
	case best.name != "":
		return best, nil
	case lonely != "":
		return kernel{}, fmt.Errorf("the kernel %[1]s has no /lib/modules/%[1]s/modules.dep: install its modules in it, or run depmod %[1]s there", lonely)
	}
	return kernel{}, errors.New("there is no kernel in /boot (vmlinuz-RELEASE) or /lib/modules/RELEASE (vmlinuz): install one in it (apt-get install linux-image-amd64)")
}

// modules returns the directory of the modules of a release.
func (x *index) modules(release string) (string, bool) {
	for _, dir := range [...]string{"lib/modules", "usr/lib/modules"} {
		if name, n, ok := x.resolve(path.Join(dir, release, "modules.dep")); ok && n.kind == regular {
			return path.Dir(name), true
		}
	}
	return "", false
}

// compareReleases orders kernel releases: numbers by value, the rest as text, part by part.
func compareReleases(a, b string) int {
	return slices.CompareFunc(releaseParts(a), releaseParts(b), func(x, y string) int {
		m, errM := strconv.ParseUint(x, 10, 64)
		n, errN := strconv.ParseUint(y, 10, 64)
		switch {
		case errM == nil && errN == nil && m < n:
			return -1
		case errM == nil && errN == nil && m > n:
			return 1
		}
		return strings.Compare(x, y)
	})
}

// releaseParts splits a release into runs of digits and runs of letters.
func releaseParts(s string) []string {
	var parts []string
	class := func(b byte) int {
		switch {
		case b >= '0' && b <= '9':
			return 1
		case b == '.' || b == '-' || b == '_' || b == '+' || b == '~':
			return 0
		}
		return 2
	}
	for i := 0; i < len(s); {
		start := i
		for i++; i < len(s) && class(s[i]) == class(s[start]); i++ {
		}
		if class(s[start]) != 0 {
			parts = append(parts, s[start:i])
		}
	}
	return parts
}

// identify returns the release that a kernel's file says it is, "" if it says none, and its architecture.
func identify(b []byte) (release, arch string, err error) {
	switch {
	case len(b) > 0x268 && string(b[0x202:0x206]) == "HdrS":
		return identifyX86(b)
	case len(b) > 64 && string(b[:2]) == "MZ" && string(b[4:8]) == "zimg": // drivers/firmware/efi/libstub/zboot-header.S
		arch, err := machineOfPE(b)
		return "", arch, err
	case len(b) > 64 && string(b[56:60]) == "ARM\x64": // Documentation/arch/arm64/booting.rst
		return "", "arm64", nil
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return identifyGzip(b)
	}
	return "", "", errors.New("it is no Linux kernel for amd64 or arm64: install one in it")
}

// identifyX86 reads the header of a bzImage (Documentation/arch/x86/boot.rst).
func identifyX86(b []byte) (release, arch string, err error) {
	const version, xloadflags, kernel64 = 0x20e, 0x236, 1
	if b[xloadflags]&kernel64 == 0 {
		return "", "", errors.New("it is for 32-bit machines: install one for amd64 in it")
	}
	if at := int(binary.LittleEndian.Uint16(b[version:])); at != 0 && at+0x200 < len(b) {
		text, _, _ := bytes.Cut(b[at+0x200:min(at+0x200+256, len(b))], []byte{0})
		release, _, _ = strings.Cut(string(text), " ")
	}
	return release, "amd64", nil
}

// identifyGzip looks into a compressed arm64 kernel, as /boot/vmlinuz of many arm64 distributions is.
func identifyGzip(b []byte) (release, arch string, err error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return "", "", err
	}
	head := make([]byte, 64)
	if _, err := io.ReadFull(z, head); err != nil {
		return "", "", err
	}
	if string(head[56:60]) != "ARM\x64" {
		return "", "", errors.New("it is compressed, and no kernel for arm64: install one for amd64 or arm64 in it")
	}
	return "", "arm64", nil
}

// machineOfPE returns the architecture that a PE header is for.
func machineOfPE(b []byte) (string, error) {
	at := int(binary.LittleEndian.Uint32(b[0x3c:]))
	if at < 0 || at+6 > len(b) || string(b[at:at+4]) != "PE\x00\x00" {
		return "", errors.New("its PE header is torn: install it again")
	}
	switch machine := binary.LittleEndian.Uint16(b[at+4:]); machine {
	case 0x8664:
		return "amd64", nil
	case 0xaa64:
		return "arm64", nil
	default:
		return "", fmt.Errorf("it is for machine %#x: install one for amd64 or arm64 in it", machine)
	}
}
