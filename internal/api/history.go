package api

import (
	"context"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A HistoryEntry is one change of the configuration, or of a user, and who made it.
type HistoryEntry struct {
	Revision fleet.Revision `json:"revision"` // that it made
	At       time.Time      `json:"at"`
	Who      string         `json:"who"`
	Why      string         `json:"why,omitempty"`
	Kind     string         `json:"kind"` // of the command, as the log has it
	Changed  []ChangedNames `json:"changed"`
	// User is what became of a user: that is no configuration, and nothing takes it back.
	User *fleet.UserChange `json:"user,omitempty"`
}

// ChangedNames are the objects of one kind to which one change did one thing. How they differ, a Comparison tells.
type ChangedNames struct {
	Kind   string   `json:"kind"`   // node, profile, network or cluster
	Action string   `json:"action"` // add, set or delete
	Names  []string `json:"names"`  // in order; the cluster has none
	More   int      `json:"more,omitempty"`
}

// Bounds on an answer with history.
const (
	defaultHistory  = 100
	maxHistoryNames = 1000 // of one kind and action in one entry
)

// beforeParam is the query parameter with the revision before which to tell.
const beforeParam = "before"

func (s *Server) history(_ context.Context, r *request, _ none) ([]HistoryEntry, error) {
	query := r.URL.Query()
	limit, err := limitOf(query)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = defaultHistory
	}
	before := r.state.Revision() + 1
	if query.Has(beforeParam) {
		if before, err = revisionOf(query, beforeParam); err != nil {
			return nil, err
		}
	}
	entries := []HistoryEntry{}
	for record := range r.state.History() {
		if record.Revision >= before {
			continue
		}
		if len(entries) == limit {
			query.Set(beforeParam, header(entries[limit-1].Revision))
			r.next = r.URL.Path + "?" + query.Encode()
			break
		}
		entries = append(entries, HistoryEntry{Revision: record.Revision, At: record.At, Who: record.Who, Why: record.Why, Kind: record.Kind, Changed: namesOf(record.Changed), User: record.User})
	}
	return entries, nil
}

// namesOf sums up what changed. The changes are in the order of kinds and names.
func namesOf(changes []fleet.Change) []ChangedNames {
	out := []ChangedNames{}
	at := map[[2]string]int{}
	for _, c := range changes {
		action := "set"
		switch (fleet.Object{}) {
		case c.Before:
			action = "add"
		case c.After:
			action = "delete"
		}
		key := [2]string{c.Kind, action}
		i, known := at[key]
		if !known {
			i = len(out)
			at[key] = i
			out = append(out, ChangedNames{Kind: c.Kind, Action: action, Names: []string{}})
		}
		switch {
		case len(out[i].Names) == maxHistoryNames:
			out[i].More++
		case c.Name != "":
			out[i].Names = append(out[i].Names, c.Name)
		}
	}
	return out
}

// A Comparison says how the configuration differs between two revisions.
type Comparison struct {
	From    fleet.Revision `json:"from"`
	To      fleet.Revision `json:"to"`
	Changed []Difference   `json:"changed"`
	Effects []Effect       `json:"effects,omitempty"` // what became of nodes whose own words do not tell it
}

// The query parameters of a Comparison, each a revision. Without toParam it is now.
const (
	fromParam = "from"
	toParam   = "to"
)

func (s *Server) compare(_ context.Context, r *request, _ none) (Comparison, error) {
	query := r.URL.Query()
	from, err := revisionOf(query, fromParam)
	if err != nil {
		return Comparison{}, err
	}
	to := r.state.Revision()
	if query.Has(toParam) {
		if to, err = revisionOf(query, toParam); err != nil {
			return Comparison{}, err
		}
	}
	giveBack, err := s.recalling.take(recalls)
	if err != nil {
		return Comparison{}, err
	}
	defer giveBack()
	before, err := r.state.At(from)
	if err != nil {
		return Comparison{}, err
	}
	after, err := r.state.At(to)
	if err != nil {
		return Comparison{}, err
	}
	changed := changesBetween(before, after)
	return Comparison{From: from, To: to, Changed: changed, Effects: newComparer().effects(before, after, changed)}, nil
}
