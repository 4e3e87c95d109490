package initramfs

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// A catalog is what depmod wrote down of a kernel's modules. The keys are module names, with underscores.
type catalog struct {
	file    map[string]string   // of each module, below the modules' directory
	needs   map[string][]string // names, as depmod lists them: the last is to be loaded first
	pre     map[string][]string // soft dependencies: names or aliases
	post    map[string][]string
	builtin map[string]bool
	aliases []alias // in depmod's order
}

type alias struct{ pattern, module string }

// moduleName returns the name of the module in a file.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// loadCatalog reads a directory of modules. Only modules.dep has to be there.
func loadCatalog(dir *os.Root) (*catalog, error) {
	c := &catalog{
		file: map[string]string{}, needs: map[string][]string{}, pre: map[string][]string{}, post: map[string][]string{}, builtin: map[string]bool{},
	}
	if err := eachLine(dir, "modules.dep", c.dependency); err != nil {
		return nil, fmt.Errorf("%w: run depmod for this kernel in the image", err)
	}
	for name, take := range map[string]func(string) error{
		"modules.builtin": func(line string) error { c.builtin[moduleName(line)] = true; return nil },
		"modules.softdep": c.softDependency,
		"modules.alias":   c.alias,
	} {
		if err := eachLine(dir, name, take); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return c, nil
}

// eachLine calls take for every line of a text file that is neither empty nor a comment.
func eachLine(dir *os.Root, name string, take func(string) error) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := take(line); err != nil {
			return fmt.Errorf("%s: line %q: %w", name, line, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// dependency takes a line of modules.dep: "FILE: FILE...".
func (c *catalog) dependency(line string) error {
	file, deps, ok := strings.Cut(line, ":")
	if !ok || strings.ContainsAny(file, " \t") {
		return errors.New(`want "FILE: FILE..."`)
	}
	name := moduleName(file)
	c.file[name] = file
	for dep := range strings.FieldsSeq(deps) {
		c.needs[name] = append(c.needs[name], moduleName(dep))
	}
	return nil
}

// softDependency takes a line of modules.softdep: "softdep NAME pre: WHAT... post: WHAT..." (modprobe.d(5)).
func (c *catalog) softDependency(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "softdep" {
		return nil
	}
	name := strings.ReplaceAll(fields[1], "-", "_")
	var into map[string][]string
	for _, f := range fields[2:] {
		switch {
		case f == "pre:":
			into = c.pre
		case f == "post:":
			into = c.post
		case into != nil:
			into[name] = append(into[name], f)
		}
	}
	return nil
}

// alias takes a line of modules.alias: "alias PATTERN NAME".
func (c *catalog) alias(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 3 || fields[0] != "alias" {
		return nil // a pattern with a space, which no device of ours has
	}
	c.aliases = append(c.aliases, alias{fields[1], strings.ReplaceAll(fields[2], "-", "_")})
	return nil
}

// find returns the modules that a soft dependency means: the one of that name, or those with that alias.
func (c *catalog) find(what string) []string {
	if name := strings.ReplaceAll(what, "-", "_"); c.file[name] != "" || c.builtin[name] {
		return []string{name}
	}
	var found []string
	for _, a := range c.aliases {
		if ok, err := path.Match(a.pattern, what); ok && err == nil {
			found = append(found, a.module)
		}
	}
	return found
}
