package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// suggest returns what was probably meant by a key that g, in the section of that name, does not have: a key of g, or one that stands
// elsewhere; "" if nothing is near.
func (s schema) suggest(in string, g *group, key string) string {
	names := make([]string, 0, len(g.slots))
	for _, at := range g.slots {
		names = append(names, at.name)
	}
	if near := Nearest(key, names); near != "" {
		return near
	}
	if at, ok := g.keys[Nearest(normalKey(key), slices.Sorted(maps.Keys(g.keys)))]; ok {
		return at.name
	}
	if now, known := renamed()[normalKey(key)]; known {
		return now
	}
	isOwn := func(other section) bool { return other.name == sameSection(in) }
	all := sections()
	if own := slices.IndexFunc(all, isOwn); own >= 0 {
		if path := all[own].group(s).find(normalKey(key)); path != "" {
			return path
		}
	}
	for _, other := range all {
		path := other.group(s).find(normalKey(key))
		switch {
		case path == "" || isOwn(other):
		case other.kind == fleet.ObjectCluster:
			return other.name + "." + path
		default:
			return other.name + ".NAME." + path
		}
	}
	return ""
}

// renamed maps what older releases of Warewulf called fields to what they are called now.
func renamed() map[string]string {
	return map[string]string{
		"container_name":  "image name",
		"ip6addr":         "ipaddr6",
		"keys":            "tags",
		"kernel_override": "kernel.version",
	}
}

// find returns the path of a key below g, as it is written, with NAME for what users choose; "" if there is none.
func (g *group) find(key string) string {
	for _, s := range g.slots {
		if normalKey(s.name) == key {
			return s.name
		}
		if s.group == nil {
			continue
		}
		if below := s.group.find(key); below != "" {
			return s.name + "." + below
		}
	}
	if g.rest != nil && g.rest.group != nil {
		if below := g.rest.group.find(key); below != "" {
			return "NAME." + below
		}
	}
	return ""
}

// Nearest returns the one of names that is most like s, for who may have mistyped it; "" if none is.
func Nearest(s string, names []string) string {
	best, least := "", 1+max(1, len(s)/3)
	for _, name := range names {
		if d := distance(strings.ToLower(s), strings.ToLower(name), least); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance returns how many letters must be inserted, deleted, replaced or swapped with the next to make b of a; limit if
// these are as many or more.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit || len(a) > 64 {
		return limit
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := row[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			next[j] = min(row[j]+1, next[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return min(row[len(b)], limit)
}
