package api

import (
	"context"
	"fmt"

	"github.com/samara-hpc/samara/fleet"
)

// The parameters of every request that changes something.
const (
	dryRunParam = "dry_run" // "1": answer with what would change
	whyParam    = "why"     // the user's message, for the audit record
	ifParam     = "if"      // a fleet.Condition; may come more than once
)

// change proposes c for the caller of r, or with dry_run applies it to a state that nobody else sees.
func (s *Server) change(ctx context.Context, r *request, c fleet.Command) (Change, error) {
	query := r.URL.Query()
	entry := fleet.Entry{Command: c, At: s.Now().UTC(), Who: r.who, Why: query.Get(whyParam)}
	before := s.Store.State()
	switch dry := query.Get(dryRunParam); dry {
	case "1":
		if _, err := fleet.EncodeEntry(entry, before.Format()); err != nil {
			return Change{}, err
		}
		after, err := before.Apply(entry, before.Revision()+1)
		if err != nil {
			return Change{}, err
		}
		return Change{Revision: before.Revision(), DryRun: true, Changed: differences(before, after, c)}, nil
	case "":
	default:
		return Change{}, fmt.Errorf("%w %s=%q: want 1", fleet.ErrInvalid, dryRunParam, dry)
	}
	rev, err := s.Store.Propose(ctx, entry)
	if err != nil {
		return Change{}, err
	}
	// What changed is told from the state that the change was asked against. A replica that lags may not even be able
	// to apply it: then the revision says that it holds, and nothing more.
	after, err := before.Apply(entry, before.Revision()+1)
	if err != nil {
		return Change{Revision: rev, Changed: []Difference{}}, nil
	}
	return Change{Revision: rev, Changed: differences(before, after, c)}, nil
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
	s.network.Lock()
	defer s.network.Unlock()
	if now, ok := s.Store.State().Network(n.Name); ok && n.Revision != 0 && now.Revision != n.Revision {
		return Change{}, fmt.Errorf("network %s %w: it is at revision %d, not %d; look at it again", n.Name, fleet.ErrConflict, now.Revision, n.Revision)
	}
	return s.change(ctx, r, fleet.PutNetwork{Network: n})
}

func (s *Server) deleteNetwork(ctx context.Context, r *request, _ none) (Change, error) {
	return s.change(ctx, r, fleet.DeleteNetwork{Name: r.PathValue("network")})
}
