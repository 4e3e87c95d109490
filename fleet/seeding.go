package fleet

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Seeding is how nodes and controllers give images on. The zero value: without limits, and whatever runs on the node.
type Seeding struct {
	NodeUpload   int64  `json:"node_upload,omitempty"`   // bytes per second that a node sends at most once it has booted; 0 is no limit
	OriginUpload int64  `json:"origin_upload,omitempty"` // bytes per second that a controller sends at most to swarms; 0 is no limit
	PauseFile    string `json:"pause_file,omitempty"`    // while it exists in the node's root, the node sends nothing
	PauseCommand string `json:"pause_command,omitempty"` // run by the node's /bin/sh; while it exits with 0, the node sends nothing
}

// SetSeeding changes a Seeding. Nil fields stay as they are.
type SetSeeding struct {
	NodeUpload   *int64  `json:"node_upload,omitempty"`
	OriginUpload *int64  `json:"origin_upload,omitempty"`
	PauseFile    *string `json:"pause_file,omitempty"`
	PauseCommand *string `json:"pause_command,omitempty"`
}

// apply returns what c makes of s.
func (c SetSeeding) apply(s Seeding) Seeding {
	set(&s.NodeUpload, c.NodeUpload)
	set(&s.OriginUpload, c.OriginUpload)
	set(&s.PauseFile, c.PauseFile)
	set(&s.PauseCommand, c.PauseCommand)
	return s
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Bounds of a Seeding.
const (
	MinUpload       = 64 << 10 // bytes per second; less than one request in a second helps nobody
	MaxPauseFile    = 1024     // bytes
	MaxPauseCommand = 1024     // bytes
)

// check refuses what no node or controller could do.
func (s Seeding) check() error {
	for _, l := range [...]struct {
		what  string
		limit int64
	}{{"node", s.NodeUpload}, {"origin", s.OriginUpload}} { // in one order: every replica gives the same reason
		if l.limit != 0 && l.limit < MinUpload {
			return fmt.Errorf("%w %s upload limit of %d bytes per second: want 0 for none, or at least %d", ErrInvalid, l.what, l.limit, MinUpload)
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
	return !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl)
}
