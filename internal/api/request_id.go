package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// RequestHeader holds the id of a change: asked for again with one id, it is made once.
const RequestHeader = "Samara-Request"

// NewRequestID returns a fresh id: 128 random bits in hexadecimal.
func NewRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

// checkRequestID keeps an id one word of a header and of the log.
func checkRequestID(id string) error {
	if id == "" || len(id) > fleet.MaxID {
		return fmt.Errorf("%w %s of %d characters: want 1 to %d", fleet.ErrInvalid, RequestHeader, len(id), fleet.MaxID)
	}
	if strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return fmt.Errorf("%w %s %q: want letters, digits, - and _", fleet.ErrInvalid, RequestHeader, id)
	}
	return nil
}

type requestIDKey struct{}

// RequestID returns the id of the request in whose context a backend is called, for fleet.Entry.ID; "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
