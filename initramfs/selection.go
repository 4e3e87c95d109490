package initramfs

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// A selection is the modules that go into an initramfs, in an order in which they can be loaded.
type selection struct {
	*catalog
	order  []string
	at     map[string]int      // the place of each in order
	deps   map[string][]string // what each needs, closed, in order
	wishes map[string][]string // what should be loaded before each, closed, in order
}

// choose returns the modules for a node, with all that they need.
func choose(c *catalog, dir *os.Root) (*selection, error) {
	s := &selection{catalog: c, at: map[string]int{}, deps: map[string][]string{}, wishes: map[string][]string{}}
	for _, name := range required() {
		if c.file[name] == "" && !c.builtin[name] {
			return nil, fmt.Errorf("the kernel has no module %s, nor is it built in: install the rest of its modules in the image", name)
		}
	}
	for _, name := range required() {
		if err := s.present(name, dir); err != nil {
			return nil, fmt.Errorf("module %s: %w", name, err)
		}
	}
	for _, name := range append(always(), drivers()...) {
		if s.present(name, dir) == nil {
			s.visit(name, map[string]bool{}, dir)
		}
	}
	return s, nil
}

// present reports why a module, or one that it needs, has no file.
func (s *selection) present(name string, dir *os.Root) error {
	for _, n := range append([]string{name}, s.needs[name]...) {
		if s.builtin[n] {
			continue
		}
		if s.file[n] == "" {
			return fmt.Errorf("%s is in no modules.dep", n)
		}
		if info, err := dir.Stat(s.file[n]); err != nil {
			return err
		} else if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", s.file[n])
		}
	}
	return nil
}

// visit adds a module that is present to the order, after what it needs and wishes for. A wish that leads back to a
// module on the way is not granted.
func (s *selection) visit(name string, onTheWay map[string]bool, dir *os.Root) {
	if _, done := s.at[name]; done || onTheWay[name] || s.builtin[name] {
		return
	}
	onTheWay[name] = true
	defer delete(onTheWay, name)
	for _, need := range slices.Backward(s.needs[name]) {
		s.visit(need, onTheWay, dir)
	}
	var granted []string
	for _, what := range append(wished(name), s.pre[name]...) {
		for _, wish := range s.find(what) {
			if !s.builtin[wish] && s.present(wish, dir) == nil {
				s.visit(wish, onTheWay, dir)
				granted = append(granted, wish)
			}
		}
	}
	for _, need := range s.needs[name] {
		s.take(s.deps, name, need)
		for _, wish := range s.wishes[need] {
			s.take(s.wishes, name, wish)
		}
	}
	for _, wish := range granted {
		if _, there := s.at[wish]; !there {
			continue
		}
		for _, before := range slices.Concat(s.deps[wish], s.wishes[wish], []string{wish}) {
			s.take(s.wishes, name, before)
		}
	}
	s.at[name] = len(s.order)
	s.order = append(s.order, name)
	for _, with := range s.withIt(name) {
		if s.present(with, dir) == nil {
			s.visit(with, onTheWay, dir)
		}
	}
}

// take puts what into the list of name, unless it is built in or there already.
func (s *selection) take(list map[string][]string, name, what string) {
	if !s.builtin[what] && !slices.Contains(list[name], what) {
		list[name] = append(list[name], what)
	}
}

// withIt returns the modules that are to be loaded whenever name is, after it.
func (s *selection) withIt(name string) []string {
	with := companions(name)
	for _, what := range s.post[name] {
		with = append(with, s.find(what)...)
	}
	return with
}

// path returns where the initramfs holds a module, without the leading slash.
func (s *selection) path(release, name string) string {
	file := s.file[name]
	for _, suffix := range [...]string{".xz", ".zst", ".gz"} {
		file = strings.TrimSuffix(file, suffix)
	}
	return path.Join("lib/modules", release, file)
}

// modulesText is the text of /lib/samara/modules.
func (s *selection) modulesText(release string) string {
	var text strings.Builder
	for _, name := range s.order {
		text.WriteString(name + " /" + s.path(release, name))
		before := slices.Concat(s.deps[name], s.wishes[name])
		slices.SortFunc(before, func(a, b string) int { return s.at[a] - s.at[b] })
		for _, dep := range slices.Compact(before) {
			if slices.Contains(s.deps[name], dep) {
				text.WriteString(" " + dep)
			} else {
				text.WriteString(" ?" + dep)
			}
		}
		text.WriteString("\n")
	}
	return text.String()
}

// aliasText is the text of /lib/samara/modules.alias.
func (s *selection) aliasText() string {
	lines := map[string][]string{}
	for _, a := range s.aliases {
		if _, chosen := s.at[a.module]; !chosen {
			continue
		}
		if _, err := path.Match(a.pattern, ""); err != nil || strings.Contains(a.pattern, "/") {
			continue
		}
		for _, name := range append([]string{a.module}, s.withIt(a.module)...) {
			if _, chosen := s.at[name]; chosen {
				lines[name] = append(lines[name], a.pattern+" "+name+"\n")
			}
		}
	}
	var text strings.Builder
	for _, name := range s.order {
		slices.Sort(lines[name])
		for _, line := range slices.Compact(lines[name]) {
			text.WriteString(line)
		}
	}
	return text.String()
}

// loadText is the text of /lib/samara/load.
func (s *selection) loadText() string {
	var text strings.Builder
	for _, name := range always() {
		if _, chosen := s.at[name]; chosen {
			text.WriteString(name + "\n")
		}
	}
	return text.String()
}
