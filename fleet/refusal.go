package fleet

import "errors"

// The reasons for which a command, a name or a value is refused. Errors of this package wrap one of them; their text
// says what was wrong, where, and what to do.
var (
	ErrInvalid  = errors.New("bad")             // malformed or against a rule
	ErrNotFound = errors.New("not found")       // names something that does not exist
	ErrExists   = errors.New("already exists")  // names something that exists, or takes an address in use
	ErrInUse    = errors.New("in use")          // something else still refers to it
	ErrConflict = errors.New("has changed")     // the state is no longer the one that the caller saw
	ErrUnknown  = errors.New("unknown machine") // a MAC address that no node has
)

// IsRefusal reports whether err is a reason of this package, which every replica computes alike and which a retry of
// the same request does not change.
func IsRefusal(err error) bool {
	for _, reason := range []error{ErrInvalid, ErrNotFound, ErrExists, ErrInUse, ErrConflict, ErrUnknown} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
