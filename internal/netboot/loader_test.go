package netboot

import (
	"maps"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

func TestLoadersOfEachDistribution(t *testing.T) {
	with := func(more map[string][]byte) map[string][]byte {
		all := debianFiles()
		maps.Copy(all, more)
		return all
	}
	cases := map[string]struct {
		files map[string][]byte
		efi   string
		want  dhcp.Loaders
	}{
		"Debian":             {debianFiles(), "", dhcp.Loaders{BIOS: "undionly.kpxe", X64: "snponly.efi"}},
		"Debian, ipxe.efi":   {debianFiles(), "ipxe.efi", dhcp.Loaders{BIOS: "undionly.kpxe", X64: "ipxe.efi"}},
		"Fedora":             {map[string][]byte{"undionly.kpxe": []byte("x"), "ipxe-snponly-x86_64.efi": efi(peAMD64, "")}, "", dhcp.Loaders{BIOS: "undionly.kpxe", X64: "snponly.efi"}},
		"iPXE's own archive": {map[string][]byte{"x86_64/undionly.kpxe": []byte("x"), "x86_64/snponly.efi": efi(peAMD64, ""), "arm64/snponly.efi": efi(peARM64, "")}, "", dhcp.Loaders{BIOS: "undionly.kpxe", X64: "snponly.efi", ARM64: "snponly-arm64.efi"}},
		"arm64 beside x86":   {with(map[string][]byte{"snponly-arm64.efi": efi(peARM64, ""), "ipxe-arm64.efi": efi(peARM64, "")}), "ipxe.efi", dhcp.Loaders{BIOS: "undionly.kpxe", X64: "ipxe.efi", ARM64: "ipxe-arm64.efi"}},
		"the other arm64":    {with(map[string][]byte{"ipxe-arm64.efi": efi(peARM64, "")}), "", dhcp.Loaders{BIOS: "undionly.kpxe", X64: "snponly.efi", ARM64: "ipxe-arm64.efi"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l, err := loadLoaders(writeLoaders(t, c.files), c.efi)
			if err != nil || l.offer != c.want {
				t.Errorf("got %+v, %v; want %+v", l.offer, err, c.want)
			}
		})
	}
}

func TestBadLoadersAreRefusedWithTheCure(t *testing.T) {
	without := func(name string) map[string][]byte {
		all := debianFiles()
		delete(all, name)
		return all
	}
	but := func(name string, data []byte) map[string][]byte {
		all := debianFiles()
		all[name] = data
		return all
	}
	cases := map[string]struct {
		files map[string][]byte
		efi   string
		want  []string
	}{
		"no BIOS loader":        {without("undionly.kpxe"), "", []string{"undionly.kpxe", "apt-get install ipxe"}},
		"no UEFI loader":        {without("snponly.efi"), "", []string{"snponly.efi", "apt-get install ipxe"}},
		"not the one asked for": {without("ipxe.efi"), "ipxe.efi", []string{"ipxe.efi", "apt-get install ipxe"}},
		"another architecture":  {but("snponly.efi", efi(peARM64, "")), "", []string{"snponly.efi", "0xaa64"}},
		"no executable":         {but("snponly.efi", []byte("<html>")), "", []string{"snponly.efi", "not an EFI executable"}},
		"header out of bounds":  {but("snponly.efi", append(append([]byte("MZ"), make([]byte, 0x3a)...), 0xff, 0xff, 0xff, 0xff)), "", []string{"not an EFI executable"}},
		"empty file":            {but("undionly.kpxe", nil), "", []string{"undionly.kpxe", "0 bytes"}},
		"no such choice":        {debianFiles(), "grub.efi", []string{"grub.efi", "want snponly.efi or ipxe.efi"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := writeLoaders(t, c.files)
			_, err := loadLoaders(dir, c.efi)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %q, want one line with %q", err, want)
				}
			}
		})
	}
}
