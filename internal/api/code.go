package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// Reasons for which a request fails that are not the fleet's own.
var (
	ErrForbidden   = errors.New("not allowed")        // the caller's role does not reach that far
	ErrNotLeader   = errors.New("not the leader")     // another controller must be asked
	ErrUnavailable = errors.New("unavailable")        // no leader, no quorum, or shutting down: try again later
	ErrUncertain   = errors.New("outcome unknown")    // the change may or may not have been made; ask again with the same id
	ErrClock       = errors.New("clock is wrong")     // this machine's clock and the cluster's are too far apart
	ErrTooOld      = errors.New("no longer known")    // a watch from a revision that is not remembered: list, and watch from there
	ErrTooLarge    = errors.New("request too large")  // the body is over the route's limit
	ErrRoute       = errors.New("no such route")      // the path or its method is not served
	ErrBusy        = errors.New("busy")               // as many are served as can be: ask again after Retry-After
	ErrRange       = errors.New("beyond the end")     // a range begins where the blob has no bytes
	ErrInternal    = errors.New("controller's fault") // anything that has no code of its own
)

// code is one row of the table of errors as they travel.
type code struct {
	name   string // in the body
	status int    // of the answer
	err    error  // what errors.Is finds at both ends
}

// codes is append-only: old clients know its names. The first row that an error matches is the one it travels as, so
// that an error which wraps two reasons is told by the more telling one.
func codes() []code {
	return []code{
		{"not_trusted", http.StatusUnauthorized, identity.ErrNotTrusted},
		{"token_refused", http.StatusForbidden, identity.ErrToken},
		{"forbidden", http.StatusForbidden, ErrForbidden},
		{"uncertain", http.StatusServiceUnavailable, ErrUncertain},
		{"not_leader", http.StatusServiceUnavailable, ErrNotLeader},
		{"unavailable", http.StatusServiceUnavailable, ErrUnavailable},
		{"too_large", http.StatusRequestEntityTooLarge, ErrTooLarge},
		{"no_route", http.StatusNotFound, ErrRoute},
		{"unknown_machine", http.StatusNotFound, fleet.ErrUnknown},
		{"not_found", http.StatusNotFound, fleet.ErrNotFound},
		{"exists", http.StatusConflict, fleet.ErrExists},
		{"in_use", http.StatusConflict, fleet.ErrInUse},
		{"conflict", http.StatusConflict, fleet.ErrConflict},
		{"needs_upgrade", http.StatusConflict, fleet.ErrFormat},
		{"join_refused", http.StatusForbidden, fleet.ErrJoin},
		{"clock_skew", http.StatusBadRequest, ErrClock},
		{"compacted", http.StatusGone, ErrTooOld},
		{"invalid", http.StatusBadRequest, fleet.ErrInvalid},
		{"timeout", http.StatusGatewayTimeout, context.DeadlineExceeded},
		{"busy", http.StatusServiceUnavailable, ErrBusy},
		{"beyond_end", http.StatusRequestedRangeNotSatisfiable, ErrRange},
		{"revoked", http.StatusUnauthorized, identity.ErrRevoked},
		{"internal", http.StatusInternalServerError, ErrInternal},
	}
}

// codeOf returns the row as which err travels.
func codeOf(err error) code {
	all := codes()
	at := slices.IndexFunc(all, func(c code) bool { return errors.Is(err, c.err) })
	if at < 0 {
		return all[len(all)-1]
	}
	return all[at]
}

// errorBody is the body of every answer that is not a success.
type errorBody struct {
	Code string `json:"code"`
	Text string `json:"error"`
}

// bodyOf returns err as it travels.
func bodyOf(err error) *errorBody { return &errorBody{Code: codeOf(err).name, Text: err.Error()} }

// A remoteError is a controller's refusal as the client returns it: the controller's text, and the sentinel that its
// code stands for.
type remoteError struct {
	text string
	is   error
	wait time.Duration // of ErrBusy: before it is worth asking again
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() error { return e.is }

// asError returns the error that an errorBody describes. A code that this release does not know is ErrInternal.
func (b errorBody) asError() *remoteError {
	all := codes()
	at := slices.IndexFunc(all, func(c code) bool { return c.name == b.Code })
	if at < 0 {
		at = len(all) - 1
	}
	return &remoteError{text: b.Text, is: all[at].err}
}
