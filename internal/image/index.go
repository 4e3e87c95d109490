package image

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// An index knows every name of an image, but no contents.
type index struct {
	nodes  map[string]node // by the name of the entry
	inodes int             // files under all names; several names of one count once
}

type node struct {
	kind    kind
	implied bool   // a directory that was not met itself, only something in it
	link    string // target of a symlink
	size    int64
	mode    int64
}

func newIndex() *index {
	return &index{nodes: map[string]node{"": {kind: directory}}, inodes: 1}
}

// add takes an entry in. It returns false for a directory that is known already, whose second entry means nothing.
func (x *index) add(e *entry) (fresh bool, err error) {
	if len(x.nodes) >= maxEntries {
		return false, fmt.Errorf("there are more than %d entries", maxEntries)
	}
	if old, ok := x.nodes[e.name]; ok && !old.implied {
		if old.kind == directory && e.kind == directory {
			return false, nil
		}
		return false, fmt.Errorf("%q is there twice: unpack the tar and import the directory", e.name)
	} else if ok && e.kind != directory {
		return false, fmt.Errorf("%q is a directory and something else: unpack the tar and import the directory", e.name)
	} else if !ok {
		if err := x.addParents(e.name); err != nil {
			return false, err
		}
	}
	n := node{kind: e.kind, size: e.size, mode: e.mode}
	switch e.kind {
	case hardlink:
		target, ok := x.nodes[e.link]
		if !ok || target.kind == directory {
			return false, fmt.Errorf("%q is a hard link to %q, which does not come before it: unpack the tar and import the directory", e.name, e.link)
		}
		n = target
	case symlink:
		n.link = e.link
	}
	if e.kind != hardlink && !x.nodes[e.name].implied {
		x.inodes++
	}
	x.nodes[e.name] = n
	return true, nil
}

func (x *index) addParents(name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		n, ok := x.nodes[dir]
		if ok && n.kind != directory {
			return fmt.Errorf("%q is in %q, which is no directory: unpack the tar and import the directory", name, dir)
		}
		if ok {
			return nil
		}
		x.nodes[dir] = node{kind: directory, implied: true, mode: 0o755}
		x.inodes++
	}
	return nil
}

// implied returns the directories that were not met themselves, parents first.
func (x *index) implied() []string {
	var dirs []string
	for name, n := range x.nodes {
		if n.implied {
			dirs = append(dirs, name)
		}
	}
	slices.Sort(dirs)
	return dirs
}

// maxLinks bounds the symlinks on the way to a file, as Linux does (path_resolution(7)).
const maxLinks = 40

// resolve follows the symlinks in name within the image. It returns false if they lead nowhere.
func (x *index) resolve(name string) (string, node, bool) {
	rest := strings.Split(name, "/")
	at, links := "", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = strings.TrimPrefix(path.Dir("/"+at), "/")
			continue
		}
		next := path.Join(at, part)
		n, ok := x.nodes[next]
		if !ok {
			return "", node{}, false
		}
		if n.kind != symlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", node{}, false
		}
		if strings.HasPrefix(n.link, "/") {
			at = ""
		}
		rest = append(strings.Split(n.link, "/"), rest...)
	}
	return at, x.nodes[at], true
}

// match returns the names that match one of the patterns of path.Match, in order.
func (x *index) match(patterns ...string) []string {
	var found []string
	for name := range maps.Keys(x.nodes) {
		if slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok }) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
