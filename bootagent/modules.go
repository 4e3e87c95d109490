package bootagent

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"strings"
)

// A moduleSet is what the initramfs says of its kernel modules. Package initramfs documents the three files.
type moduleSet struct {
	modules map[string]module
	aliases map[string][]alias // by the part of the pattern before its first colon, such as "pci"
	load    []string           // to be loaded at once, in order
}

type module struct {
	file string
	deps []string // in the order to load them; one that begins with "?" may fail
}

type alias struct {
	pattern string
	module  string
}

// Bounds of the files: far more than all modules of a distribution's kernel.
const (
	maxModuleFile = 16 << 20
	maxModuleLine = 64 << 10
)

// parseModules reads the texts of modules, modules.alias and load.
func parseModules(modules, aliases, load []byte) (moduleSet, error) {
	s := moduleSet{modules: map[string]module{}, aliases: map[string][]alias{}}
	err := eachLine("modules", modules, 2, func(f []string) error {
		if !path.IsAbs(f[1]) {
			return fmt.Errorf("%q is not an absolute path", f[1])
		}
		s.modules[f[0]] = module{file: f[1], deps: f[2:]}
		return nil
	})
	if err != nil {
		return moduleSet{}, err
	}
	err = eachLine("modules.alias", aliases, 2, func(f []string) error {
		if _, err := path.Match(f[0], ""); err != nil {
			return fmt.Errorf("pattern %q: %w", f[0], err)
		}
		bus, _, _ := strings.Cut(f[0], ":")
		s.aliases[bus] = append(s.aliases[bus], alias{pattern: f[0], module: f[1]})
		return nil
	})
	if err != nil {
		return moduleSet{}, err
	}
	err = eachLine("load", load, 1, func(f []string) error {
		s.load = append(s.load, f[0])
		return nil
	})
	if err != nil {
		return moduleSet{}, err
	}
	return s, nil
}

// eachLine calls f with the fields of every line, of which there must be at least atLeast.
func eachLine(name string, text []byte, atLeast int, f func(fields []string) error) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxModuleLine)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if len(fields) < atLeast {
			return fmt.Errorf("%s line %d: %d fields, want %d or more", name, n, len(fields), atLeast)
		}
		if err := f(fields); err != nil {
			return fmt.Errorf("%s line %d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// match returns the modules for a device with that modalias, in the order of the file.
func (s moduleSet) match(modalias string) []string {
	bus, _, _ := strings.Cut(modalias, ":")
	var found []string
	for _, a := range s.aliases[bus] {
		if ok, err := path.Match(a.pattern, modalias); ok && err == nil {
			found = append(found, a.module)
		}
	}
	return found
}

// A loading is one module to load. Wanted says that it is no failure if that cannot be done.
type loading struct {
	name, file string
	wanted     bool
}

// order returns what has to be loaded for name, in order, name last. It is nil if the initramfs does not hold name,
// which then is built into the kernel.
func (s moduleSet) order(name string) []loading {
	m, ok := s.modules[name]
	if !ok {
		return nil
	}
	var list []loading
	for _, dep := range m.deps {
		dep, wanted := strings.CutPrefix(dep, "?")
		if d, ok := s.modules[dep]; ok {
			list = append(list, loading{name: dep, file: d.file, wanted: wanted})
		}
	}
	return append(list, loading{name: name, file: m.file})
}
