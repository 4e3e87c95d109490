package bootagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A prober loads the modules for the hardware that is there. It is for one goroutine.
type prober struct {
	set    moduleSet
	insert func(file string) error
	log    *slog.Logger
	tried  map[string]error // by module name
	seen   map[string]bool  // modaliases
}

func newProber(set moduleSet, log *slog.Logger) *prober {
	return &prober{set: set, insert: insertModule, log: log, tried: map[string]error{}, seen: map[string]bool{}}
}

// readModuleSet reads the files that package initramfs wrote into dir. A missing dir is an empty set: the kernel then
// has everything built in.
func readModuleSet(dir string) (moduleSet, error) {
	var texts [3][]byte
	for i, name := range []string{"modules", "modules.alias", "load"} {
		text, err := readBounded(filepath.Join(dir, name), maxModuleFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return moduleSet{}, err
		}
		texts[i] = text
	}
	return parseModules(texts[0], texts[1], texts[2])
}

// settle is how long after the last new device another look is taken. Buses report their devices from kernel threads.
const settle = 200 * time.Millisecond

// probe loads what must always be loaded, then the modules for every device below sysfs, and again while new devices
// appear. Modules that cannot be loaded are logged: the hardware that they are for may not be needed.
func (p *prober) probe(ctx context.Context, sysfs string) error {
	for _, name := range p.set.load {
		p.load(name)
	}
	for quiet := 0; quiet < 3; quiet++ {
		fresh, err := p.look(sysfs)
		if err != nil {
			return err
		}
		if fresh > 0 {
			quiet = -1
		}
		if err := sleep(ctx, settle); err != nil {
			return fmt.Errorf("new devices keep appearing: %w", err)
		}
	}
	return nil
}

// look loads the modules of devices that were not there at the last look, and returns how many those were.
func (p *prober) look(sysfs string) (fresh int, err error) {
	err = filepath.WalkDir(sysfs, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // the device went away while we looked
		}
		if d.Name() != "modalias" || !d.Type().IsRegular() {
			return nil
		}
		text, err := readBounded(path, 4096)
		modalias := strings.TrimSpace(string(text))
		if err != nil || modalias == "" || p.seen[modalias] {
			return nil
		}
		p.seen[modalias] = true
		fresh++
		for _, name := range p.set.match(modalias) {
			p.load(name)
		}
		return nil
	})
	return fresh, err
}

// load loads name and what it needs, each module at most once.
func (p *prober) load(name string) {
	for _, m := range p.set.order(name) {
		if _, done := p.tried[m.name]; done {
			continue
		}
		err := p.insert(m.file)
		p.tried[m.name] = err
		if err != nil && !m.wanted {
			p.log.Warn("module "+m.name+" not loaded", "err", err)
		}
	}
}

// loaded counts the modules that are in the kernel.
func (p *prober) loaded() int {
	n := 0
	for _, err := range p.tried {
		if err == nil {
			n++
		}
	}
	return n
}

// insertModule loads one uncompressed module. A module that is there already, or that finds no hardware, is no failure.
func insertModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if err == nil || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("%s: %w", file, err)
}

// readBounded reads a file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return text, err
}
