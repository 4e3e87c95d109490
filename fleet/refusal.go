package fleet

import "errors"

// The reasons for which a command, a name or a value is refused. Errors of this package wrap one of them; their text
// says what was wrong, where, and what to do.
var (
	ErrInvalid  = errors.New("bad")                     // malformed or against a rule
	ErrNotFound = errors.New("not found")               // names something that does not exist
	ErrExists   = errors.New("already exists")          // names something that exists, or takes an address in use
	ErrInUse    = errors.New("in use")                  // something else still refers to it
	ErrConflict = errors.New("has changed")             // the state is no longer the one that the caller saw
	ErrUnknown  = errors.New("unknown machine")         // a MAC address that no node has
	ErrFormat   = errors.New("needs newer controllers") // some controller would not understand it
	ErrJoin     = errors.New("join refused")            // a token that does not let this controller in
)

// reasons names the sentinels in remembered outcomes. It is append-only: snapshots hold the names.
var reasons = []struct {
	name string
	err  error
}{
	{"invalid", ErrInvalid},
	{"not_found", ErrNotFound},
	{"exists", ErrExists},
	{"in_use", ErrInUse},
	{"conflict", ErrConflict},
	{"unknown", ErrUnknown},
	{"format", ErrFormat},
	{"join", ErrJoin},
}

// IsRefusal reports whether err is a reason of this package, which every replica computes alike and which a retry of
// the same request does not change.
func IsRefusal(err error) bool { return reasonOf(err) != "" }

// reasonOf returns the name of the sentinel that err wraps, or "".
func reasonOf(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return ""
}

// sentinel returns the error with that name, or nil.
func sentinel(name string) error {
	for _, r := range reasons {
		if r.name == name {
			return r.err
		}
	}
	return nil
}
