package image

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// A kind is the type of a file.
type kind byte

const (
	regular kind = iota + 1
	directory
	symlink
	hardlink
	charDevice
	blockDevice
	fifo
)

// An entry is one name in a file system.
type entry struct {
	name   string // slashes between parts, none at the ends; "" is the root directory
	kind   kind
	link   string // target of a symlink as it stands, or name of the entry that a hardlink is another name of
	size   int64  // of a regular file, in bytes
	mode   int64  // permissions with setuid, setgid and sticky bits
	uid    int
	gid    int
	mtime  time.Time
	major  int64 // of a device
	minor  int64
	xattrs map[string]string
	body   io.Reader // size bytes of a regular file
}

// A source hands out the entries of a file system, one at a time. An entry and its body are used up when add returns.
type source interface {
	// each adds every entry. It ends early when ctx does.
	each(ctx context.Context, add func(*entry) error) error
	// warnings says, after each, what of the source is not in its entries.
	warnings() []string
}

// Limits of squashfs, of Linux, and of good sense.
const (
	maxPart    = 255
	maxName    = 4095
	maxLink    = 4095
	maxEntries = 50 << 20
)

// cleanName returns the name of an entry from the name in an archive.
func cleanName(s string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(s, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", fmt.Errorf("%q leads out of the image through \"..\"", s)
		case len(part) > maxPart:
			return "", fmt.Errorf("%q has a part of %d bytes; a name may have %d", s, len(part), maxPart)
		case strings.ContainsRune(part, 0):
			return "", fmt.Errorf("%q holds a NUL", s)
		}
		parts = append(parts, part)
	}
	name := strings.Join(parts, "/")
	if len(name) > maxName {
		return "", fmt.Errorf("a name begins with %q and has %d bytes; it may have %d", name[:64], len(name), maxName)
	}
	return name, nil
}

// excluded reports whether an entry has no place in an image: what is in the directories that a node mounts something
// on, and what a controller keeps of its cluster.
func excluded(name string) bool {
	for _, dir := range [...]string{"dev/", "proc/", "run/", "sys/", "tmp/", "var/lib/samara/"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return false
}

// storable reports whether a squashfs can hold an extended attribute of that name. It cannot hold POSIX ACLs.
func storable(xattr string) bool {
	prefix, rest, _ := strings.Cut(xattr, ".")
	return (prefix == "user" || prefix == "trusted" || prefix == "security") && rest != "" && !strings.Contains(xattr, "=")
}

// lostWarning says that n extended attributes are not in the image.
func lostWarning(n int) string {
	return fmt.Sprintf("%d extended attributes (POSIX ACLs and the like) are left out: a squashfs cannot hold them", n)
}
