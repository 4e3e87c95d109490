package fleet

import "fmt"

// Apply returns the state after e, at revision rev, which must be above s's. If e is refused, the error says why and
// the state differs from s in its revision alone, and in that it remembers the outcome. An entry with the id of one
// whose outcome s remembers has that same outcome and changes nothing.
func (s State) Apply(e Entry, rev Revision) (State, error) {
	if o, ok := s.Outcome(e.ID); ok {
		return s.Advance(rev), o.Err()
	}
	next, err := s.applyNew(e, applied{rev, e.At, e.Who})
	if err != nil {
		next = s
	}
	next.rev = rev
	if err == nil {
		next = s.remember(next, e)
	}
	// A snapshot of format 1 has no place for outcomes: replicas that read one must know what the others know.
	if e.ID != "" && next.Format() >= 2 {
		next.outcomes = next.outcomes.add(newOutcome(e.ID, rev, err))
	}
	return next, err
}

func (s State) applyNew(e Entry, a applied) (State, error) {
	e, err := e.in(formatFor(e.Command, s.Format()))
	if err != nil {
		return s, err
	}
	for _, c := range e.If {
		if err := s.holds(c); err != nil {
			return s, err
		}
	}
	return e.Command.apply(s, a)
}

// Advance returns s at a later revision with nothing changed, as after an entry that is not a command.
func (s State) Advance(rev Revision) State {
	s.rev = rev
	return s
}

// Format returns the format that all controllers of the cluster are known to understand: new entries and snapshots are
// written in it. It is 1 as long as the cluster, if there is one, says nothing.
func (s State) Format() int {
	if s.cluster == nil {
		return 1
	}
	return max(1, s.cluster.Format)
}

// errNoCluster is the refusal of what needs an initialised cluster.
func errNoCluster() error {
	return fmt.Errorf("cluster: %w; run samara init first", ErrNotFound)
}
