package blob

import (
	"errors"
	"fmt"

	"github.com/samara-hpc/samara/fleet"
)

// ErrCorrupt means that a blob's file does not hold the bytes that its name promises. The error is a *CorruptError.
var ErrCorrupt = errors.New("corrupt blob")

// A CorruptError tells where a blob's file differs from its name.
type CorruptError struct {
	Path   string
	Digest fleet.Digest
	Offset int64 // of the first MiB that differs, in bytes; -1 if only the whole is known to differ
}

// Error names the file and the cure.
func (e *CorruptError) Error() string {
	where := "does not match its SHA-256"
	if e.Offset >= 0 {
		where = fmt.Sprintf("differs from its SHA-256 in the MiB at byte %d", e.Offset)
	}
	return fmt.Sprintf("%v: %s %s: delete the file and import the image again (samara image import)", ErrCorrupt, e.Path, where)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
