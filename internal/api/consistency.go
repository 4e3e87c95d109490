package api

import (
	"fmt"
	"net/http"

	"github.com/samara-hpc/samara/fleet"
)

// A Consistency is what a read promises. The zero value is Default.
type Consistency string

// What a read may promise, the cheapest first. Only Stale is answered without a quorum.
const (
	Stale        Consistency = "stale"        // what the asked controller has applied
	Default      Consistency = "default"      // all that was acknowledged, as far as the leader's lease can tell
	Linearizable Consistency = "linearizable" // all that was acknowledged: the leader asks a majority first
)

// consistencyParam is the query parameter with a Consistency.
const consistencyParam = "consistency"

// ParseConsistency reads a Consistency; "" is Default. Its error wraps fleet.ErrInvalid.
func ParseConsistency(s string) (Consistency, error) {
	switch c := Consistency(s); c {
	case "":
		return Default, nil
	case Stale, Default, Linearizable:
		return c, nil
	}
	return "", fmt.Errorf("%w %s %q: want %s, %s or %s", fleet.ErrInvalid, consistencyParam, s, Stale, Default, Linearizable)
}

// consistencyOf returns what r asks for.
func consistencyOf(r *http.Request) (Consistency, error) {
	return ParseConsistency(r.URL.Query().Get(consistencyParam))
}
