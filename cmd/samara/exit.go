package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

// Exit statuses. Bad input is what no retry mends: it is malformed, against a rule, or takes a name or an address that
// another has.
const (
	exitOK     = 0
	exitFailed = 1
	exitBad    = 2
)

// A usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef returns a usageError with that text.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// finish prints an error as one line and returns the exit status that it means.
func finish(ctx context.Context, stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	_, _ = fmt.Fprintf(stderr, "samara: %s\n", printable(text)) // nowhere else to say it
	var usage usageError
	if errors.As(err, &usage) || errors.Is(err, fleet.ErrInvalid) || errors.Is(err, fleet.ErrExists) || errors.Is(err, fleet.ErrJoin) || errors.Is(err, identity.ErrJoinToken) || errors.Is(err, hostlist.ErrSyntax) {
		return exitBad
	}
	return exitFailed
}

// cured is withCure for an error that may be nil.
func (g *global) cured(err error) error {
	if err == nil {
		return nil
	}
	return withCure(err, g)
}

// withCure adds to an error of the API what a person can do about it.
func withCure(err error, g *global) error {
	local := g.local()
	switch {
	case errors.Is(err, api.ErrUncertain):
		return fmt.Errorf("%w; look whether it was made before you ask again", err)
	case !errors.Is(err, api.ErrNoAnswer), leaderless(err):
		return err // one of several controllers may have answered, with the cure
	case local && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("may not open %s; run it as root, or use --server with --identity", g.socket)
	case local && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)):
		return fmt.Errorf("no controller runs here (nothing answers on %s); systemctl start samara, or samara serve", g.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no controller answers at %s; systemctl start samara there", strings.Join(g.servers, ", "))
	case errors.Is(err, identity.ErrNotTrusted):
		return fmt.Errorf("%w; is %s the identity of this cluster?", err, g.identity)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w after %s; --timeout gives it longer", api.ErrNoAnswer, g.timeout)
	}
	return err
}
