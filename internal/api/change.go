package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/samara-hpc/samara/fleet"
)

// The parameters of every request that changes something.
const (
	dryRunParam = "dry_run" // "1": answer with what would change
	whyParam    = "why"     // the user's message, for the audit record
	ifParam     = "if"      // a fleet.Condition; may come more than once
)

// change proposes c for the caller of r, or with dry_run applies it to a state that nobody else sees. The conditions
// come on top of those that the caller names.
func (s *Server) change(ctx context.Context, r *request, c fleet.Command, conditions ...fleet.Condition) (Change, error) {
	query := r.URL.Query()
	asked, err := conditionsOf(r.Request)
	if err != nil {
		return Change{}, err
	}
	conditions = append(conditions, asked...)
	entry := fleet.Entry{Command: c, ID: r.id, If: conditions, At: s.Now().UTC(), Who: r.who, Why: query.Get(whyParam)}
	if r.dry {
		done, err := r.dryRun(entry)
		return done, s.heldBack(err)
	}
	rev, err := s.Store.Propose(ctx, entry)
	if err != nil {
		return Change{}, s.heldBack(err)
	}
	r.revision = max(rev, s.Store.State().Revision())
	changed, effects := s.changed(r.state, entry, rev)
	return Change{Revision: rev, Changed: changed, Effects: effects}, nil
}

// dryRun says what an entry would change. Those who may not change it do not learn which secrets are the same.
func (r *request) dryRun(entry fleet.Entry) (Change, error) {
	before := r.state
	if _, err := fleet.EncodeEntry(entry, before.Format()); err != nil {
		return Change{}, err
	}
	entry.ID = "" // a dry run is no request of which there is an outcome
	after, err := before.Apply(entry, before.Revision()+1)
	if err != nil {
		return Change{}, err
	}
	by := newComparer()
	by.blind = !r.may(operators)
	changed, effects := by.differences(before, after, entry.Command)
	return Change{Revision: before.Revision(), DryRun: true, Changed: changed, Effects: effects}, nil
}

// changed says what an entry changed that was committed at rev.
func (s *Server) changed(asked fleet.State, entry fleet.Entry, rev fleet.Revision) ([]Difference, []Effect) {
	if before, ok := s.Store.StateAt(rev - 1); ok {
		if after, ok := s.Store.StateAt(rev); ok {
			return newComparer().differences(before, after, entry.Command)
		}
	}
	// The revision is no longer known, or not yet: then it is told from the state that the change was asked against. A
	// replica that lags may not even be able to apply it there: then the revision says that it holds, and nothing more.
	after, err := asked.Apply(entry, max(rev, asked.Revision()+1))
	if err != nil {
		return []Difference{}, nil
	}
	return newComparer().differences(asked, after, entry.Command)
}

// flagOf returns whether a query parameter is set. The error is fleet.ErrInvalid if it is neither "1" nor absent.
func flagOf(r *http.Request, name string) (bool, error) {
	switch v := r.URL.Query().Get(name); v {
	case "1":
		return true, nil
	case "":
		return false, nil
	default:
		return false, fmt.Errorf("%w %s=%q: want 1", fleet.ErrInvalid, name, v)
	}
}

func (s *Server) setCluster(ctx context.Context, r *request, c fleet.SetCluster) (Change, error) {
	return s.change(ctx, r, c)
}

func (s *Server) addNodes(ctx context.Context, r *request, c fleet.AddNodes) (Change, error) {
	return s.change(ctx, r, c)
}

func (s *Server) setNodes(ctx context.Context, r *request, c fleet.SetNodes) (Change, error) {
	return s.change(ctx, r, c)
}

func (s *Server) deleteNodes(ctx context.Context, r *request, c fleet.DeleteNodes) (Change, error) {
	return s.change(ctx, r, c)
}

func (s *Server) discoverNodes(ctx context.Context, r *request, c fleet.ArmDiscovery) (Change, error) {
	return s.change(ctx, r, c)
}

func (s *Server) deleteImage(ctx context.Context, r *request, _ none) (Change, error) {
	ref, err := fleet.ParseImageRef(r.PathValue("image"))
	if err != nil {
		return Change{}, err
	}
	return s.change(ctx, r, fleet.DeleteImage{Image: ref.Name, Version: ref.Version})
}

func (s *Server) addNetwork(ctx context.Context, r *request, n fleet.Network) (Change, error) {
	return s.change(ctx, r, fleet.PutNetwork{Network: n, Create: true})
}

// setNetwork replaces a network. A revision in the body is the one that the client edited: if the network has changed
// since, the error is fleet.ErrConflict, and the other's change is not lost.
func (s *Server) setNetwork(ctx context.Context, r *request, n fleet.Network) (Change, error) {
	if name := r.PathValue("network"); n.Name != name {
		return Change{}, fmt.Errorf("%w request: network %q in the body, %q in the path", fleet.ErrInvalid, n.Name, name)
	}
	if n.Revision == 0 {
		return s.change(ctx, r, fleet.PutNetwork{Network: n})
	}
	same := fleet.Condition{Kind: "network", Name: n.Name, Revision: n.Revision}
	if r.state.Format() >= 2 {
		return s.change(ctx, r, fleet.PutNetwork{Network: n}, same)
	}
	// As long as a controller is too old for conditions, what this one has seen must do.
	if now, ok := r.state.Network(n.Name); ok && now.Revision != n.Revision {
		return Change{}, fmt.Errorf("network %s %w: it is at revision %d, not %d; look at it again", n.Name, fleet.ErrConflict, now.Revision, n.Revision)
	}
	return s.change(ctx, r, fleet.PutNetwork{Network: n})
}

func (s *Server) deleteNetwork(ctx context.Context, r *request, _ none) (Change, error) {
	return s.change(ctx, r, fleet.DeleteNetwork{Name: r.PathValue("network")})
}
