package bootagent

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/samara-hpc/samara/fleet"
)

// A place is what of a machine an agent has at its disposal.
type place struct {
	dir     string     // holds the image's file, and the enrollment until the switch
	address netip.Addr // of the swarm's port and of gossip
	machine bool       // all of it is the agent's: dir is a tmpfs that it mounts, and the clock is its own to set
}

// stateSize bounds the tmpfs at place.dir before the size of the image is known.
const stateSize = "16m"

// prepare makes the directory. One that an earlier agent left is kept: it may hold most of an image.
func (p place) prepare() error {
	if !p.machine {
		return os.MkdirAll(p.dir, 0o700)
	}
	mounted, err := isMounted(p.dir)
	if err != nil || mounted {
		return err
	}
	return mountTmpfs(p.dir, stateSize)
}

// makeRoom makes the directory take an image of that many bytes, and lets go of what an earlier agent made of one.
func (p place) makeRoom(size int64) error {
	if !p.machine {
		return nil
	}
	if err := checkMemory(size); err != nil {
		return err
	}
	for _, dir := range []string{newRoot, rwDir, lowerDir} {
		if err := unmountAll(dir); err != nil {
			return err
		}
	}
	return mountTmpfs(p.dir, strconv.FormatInt(size+slack, 10))
}

// image returns the name of an image's file.
func (p place) image(root fleet.Digest) string {
	return filepath.Join(p.dir, root.String()+".squashfs")
}

// enrollment returns the name of the file that keeps key, certificate and manifest for the agent after this one.
func (p place) enrollment() string { return filepath.Join(p.dir, "enrolled") }

// create opens an image's file, empty.
func (p place) create(root fleet.Digest) (*os.File, error) {
	f, err := os.OpenFile(p.image(root), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make room for the image: %w", err)
	}
	return f, nil
}
