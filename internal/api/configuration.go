package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/samara-hpc/samara/fleet"
)

// A Configuration is all that people choose, at one revision, without secrets.
type Configuration struct {
	Revision fleet.Revision        `json:"revision"`
	Nodes    []fleet.Node          `json:"nodes"`    // by name, as written
	Profiles []fleet.Profile       `json:"profiles"` // by name
	Networks []fleet.Network       `json:"networks"` // by name
	Cluster  fleet.ClusterSettings `json:"cluster"`
	Secrets  []SecretRef           `json:"secrets,omitempty"` // what has a value that is not shown
}

// A SecretRef names a field that has a value and is not shown.
type SecretRef struct {
	Kind  string `json:"kind"` // node or profile
	Name  string `json:"name"`
	Field string `json:"field"`
}

// MaxEdit bounds the body of an edit of the configuration, in bytes: what an entry of the log holds unpacked.
const MaxEdit = 64 << 20

// recalls is what requests that compute earlier states are called.
const recalls = "requests for earlier revisions"

// revisionParam is the query parameter with the revision of a configuration.
const revisionParam = "revision"

func (s *Server) configuration(_ context.Context, r *request, _ none) (Configuration, error) {
	state := r.state
	if r.URL.Query().Has(revisionParam) {
		rev, err := revisionOf(r.URL.Query(), revisionParam)
		if err != nil {
			return Configuration{}, err
		}
		giveBack, err := s.recalling.take(recalls)
		if err != nil {
			return Configuration{}, err
		}
		defer giveBack()
		if state, err = state.At(rev); err != nil {
			return Configuration{}, err
		}
		r.about = fleet.Condition{} // it does not change
	}
	return configurationOf(state), nil
}

func configurationOf(state fleet.State) Configuration {
	cluster, _ := state.Cluster()
	c := Configuration{Revision: state.Revision(), Nodes: []fleet.Node{}, Profiles: []fleet.Profile{}, Networks: []fleet.Network{}, Cluster: cluster.Settings()}
	for p := range state.Profiles() {
		c.hide(fleet.ObjectProfile, p.Name, p.Settings)
		c.Profiles = append(c.Profiles, p.WithoutSecrets())
	}
	for n := range state.Nodes() {
		c.hide(fleet.ObjectNode, n.Name, n.Settings)
		c.Nodes = append(c.Nodes, n.WithoutSecrets())
	}
	for n := range state.Networks() {
		c.Networks = append(c.Networks, n)
	}
	return c
}

// hide notes the secrets of an object.
func (c *Configuration) hide(kind, name string, s fleet.Settings) {
	for _, field := range secretsOf(s) {
		c.Secrets = append(c.Secrets, SecretRef{kind, name, field})
	}
}

// revisionOf reads a query parameter that is a revision.
func revisionOf(query url.Values, name string) (fleet.Revision, error) {
	n, err := strconv.ParseUint(query.Get(name), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w %s %.40q: want a revision, a number", fleet.ErrInvalid, name, query.Get(name))
	}
	return fleet.Revision(n), nil
}

// edit changes objects of the configuration, all or none. Bodies may be large: few are read at a time.
func (s *Server) edit(w http.ResponseWriter, r *request) error {
	places, what := s.edits, "edits"
	if r.dry {
		places, what = s.dryEdits, "dry runs"
	}
	giveBack, err := places.take(what)
	if err != nil {
		return err
	}
	defer giveBack()
	return within(w, r, func(ctx context.Context) (any, error) {
		var body fleet.Edit
		if err := decode(r, &body); err != nil {
			return nil, err
		}
		if r.dry && !r.may(operators) {
			disguise(&body, r.state)
		}
		return s.change(ctx, r, body)
	})
}

// disguise puts a password that nobody has in the place of each that an edit names, or takes from another object. So what
// the edit would change does not tell whether somebody guessed right.
func disguise(e *fleet.Edit, state fleet.State) {
	nobodys := fleet.Secret(rand.Text())
	for i := range e.Puts {
		o := &e.Puts[i]
		bmc := bmcOf(*o)
		if bmc == nil {
			continue
		}
		taken := bmc.Password
		if taken == nil && o.SecretsOf != "" {
			from, _ := state.Object(fleet.Ref{Kind: o.Ref().Kind, Name: o.SecretsOf})
			if b := bmcOf(from); b != nil {
				taken = b.Password
			}
		}
		if len(taken) > 0 {
			bmc.Password = nobodys
		}
	}
}

// bmcOf returns what holds the secrets of an object; nil if it has none.
func bmcOf(o fleet.Object) *fleet.BMC {
	switch {
	case o.Node != nil:
		return &o.Node.BMC
	case o.Profile != nil:
		return &o.Profile.BMC
	}
	return nil
}

// A RollbackRequest asks for the configuration as it was.
type RollbackRequest struct {
	Revision fleet.Revision `json:"revision"`
}

// rollback makes the configuration what it was at a revision, unless somebody changes it meanwhile.
func (s *Server) rollback(ctx context.Context, r *request, body RollbackRequest) (Change, error) {
	state, err := s.Store.Read(ctx, Default)
	if err != nil {
		return Change{}, err
	}
	r.state, r.revision = state, state.Revision()
	if made, known := state.Outcome(r.id); known && made.Err() == nil && !r.dry {
		r.revision = max(made.Revision, r.revision)
		return s.made(made.Revision), nil // it is asked for again
	}
	giveBack, err := s.recalling.take(recalls)
	if err != nil {
		return Change{}, err
	}
	defer giveBack()
	edit, err := state.Rollback(body.Revision)
	if err != nil {
		return Change{}, err
	}
	if len(edit.Puts)+len(edit.Deletes) == 0 {
		return Change{Revision: state.Revision(), DryRun: r.dry, Changed: []Difference{}}, nil
	}
	return s.change(ctx, r, edit, IfRevision(state.Revision()))
}

// made says what an entry changed that was committed at a revision, as far as that is remembered.
func (s *Server) made(rev fleet.Revision) Change {
	c := Change{Revision: rev, Changed: []Difference{}}
	if before, ok := s.Store.StateAt(rev - 1); ok {
		if after, ok := s.Store.StateAt(rev); ok {
			c.Changed = changesBetween(before, after)
			c.Effects = newComparer().effects(before, after, c.Changed)
		}
	}
	return c
}
