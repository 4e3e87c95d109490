package fleet

import (
	"fmt"
	"path"
	"strings"
)

// A Seeding is how nodes and controllers give images on. The zero value: without limits, and whatever runs on the node.
type Seeding struct {
	NodeUpload   int64  `json:"node_upload,omitempty"`   // bytes per second that a node sends at most once it has booted; 0 is no limit
	OriginUpload int64  `json:"origin_upload,omitempty"` // bytes per second that a controller sends at most to swarms; 0 is no limit
	PauseFile    string `json:"pause_file,omitempty"`    // while it exists in the node's root, the node sends nothing
	PauseCommand string `json:"pause_command,omitempty"` // run by the node's /bin/sh; while it exits with 0, the node sends nothing
}

// Bounds of a Seeding.
const (
	MinUpload       = 64 << 10 // bytes per second; less than one request in a second helps nobody
	MaxPauseFile    = 1024     // bytes
	MaxPauseCommand = 1024     // bytes
)

// check refuses what no node or controller could do.
func (s Seeding) check() error {
	for name, limit := range map[string]int64{"node upload": s.NodeUpload, "origin upload": s.OriginUpload} {
		if limit != 0 && limit < MinUpload {
			return fmt.Errorf("%w %s limit of %d bytes per second: want 0 for none, or at least %d", ErrInvalid, name, limit, MinUpload)
		}
	}
	if f := s.PauseFile; f != "" && (len(f) > MaxPauseFile || !path.IsAbs(f) || path.Clean(f) != f || hasControl(f)) {
		return fmt.Errorf("%w pause file %q: want an absolute path without control characters, at most %d bytes", ErrInvalid, f, MaxPauseFile)
	}
	if c := s.PauseCommand; len(c) > MaxPauseCommand || hasControl(c) {
		return fmt.Errorf("%w pause command: want one line, at most %d bytes", ErrInvalid, MaxPauseCommand)
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
