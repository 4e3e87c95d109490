package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// An ETag is a fleet.Condition, which is met as long as what the answer told of the configuration has not changed: of one
// object that, otherwise of everything. So any ETag can be sent with any change. What controllers have seen, such as the
// phase that a node is in, is no part of it.

// ifMatchHeader holds the ETag of what a client saw, as ifParam does: the change is made to that, or not at all.
const ifMatchHeader = "If-Match"

// stateKind is the kind of a condition on the whole configuration.
const stateKind = "state"

// IfRevision returns the condition, for ChangeOptions, that nobody has changed any of the configuration since a revision.
func IfRevision(rev fleet.Revision) fleet.Condition {
	return fleet.Condition{Kind: stateKind, Revision: rev}
}

// tagOf returns the ETag that stands for a condition.
func tagOf(c fleet.Condition) string { return strconv.Quote(c.String()) }

// conditionsOf returns what r wants to be so, by its query and its header.
func conditionsOf(r *http.Request) ([]fleet.Condition, error) {
	var all []fleet.Condition
	for _, text := range r.URL.Query()[ifParam] {
		c, err := fleet.ParseCondition(text)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	for _, tag := range r.Header.Values(ifMatchHeader) {
		text, err := strconv.Unquote(strings.TrimSpace(tag))
		if err != nil {
			return nil, fmt.Errorf("%w %s %.100q: want one ETag as an answer gave it", fleet.ErrInvalid, ifMatchHeader, tag)
		}
		c, err := fleet.ParseCondition(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ifMatchHeader, err)
		}
		all = append(all, c)
	}
	return all, nil
}
