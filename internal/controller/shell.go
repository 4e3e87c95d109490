package controller

import (
	"bytes"
	"debug/elf"
)

// staticFor reports whether program is an ELF executable for that architecture, by Go's name, that needs no loader.
func staticFor(program []byte, arch string) bool {
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil || f.Machine != machine {
		return false
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
