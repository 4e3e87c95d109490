package fleet

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"time"
)

// Limits on controllers and on what lets them in.
const (
	MaxControllers = 15
	MaxJoinTokens  = 64
)

// joinTokenKept is how long a token is remembered after it expired, so that who comes late is told why.
const joinTokenKept = 24 * time.Hour

// A JoinToken lets one controller into the cluster, once. The state knows the SHA-256 of its secret only.
type JoinToken struct {
	ID       string    `json:"id"`
	Hash     Digest    `json:"hash"` // of the secret
	Expires  time.Time `json:"expires"`
	Spent    string    `json:"spent,omitempty"`    // the id of the controller that used it
	SpentKey Digest    `json:"spent_key,omitzero"` // that controller's Key
}

// JoinToken returns the token with that id.
func (s State) JoinToken(id string) (JoinToken, bool) { return s.tokens.get([]byte(id)) }

// AddJoinToken makes a token known. Tokens that expired more than a day ago are forgotten, and of too many the spent
// ones that expire first.
type AddJoinToken struct {
	Token JoinToken `json:"token"`
}

// Kind implements Command.
func (AddJoinToken) Kind() string { return "token.add" }

func (c AddJoinToken) apply(s State, a applied) (State, error) {
	t := c.Token
	if err := checkID("token", t.ID); err != nil {
		return s, err
	}
	switch {
	case t.Hash.IsZero() || t.Spent != "" || !t.SpentKey.IsZero():
		return s, fmt.Errorf("%w join token %s: want one with a hash and not spent", ErrInvalid, t.ID)
	case !t.Expires.After(a.at) || t.Expires.Year() > maxYear:
		return s, fmt.Errorf("%w join token %s: it expires at %s, want a time after %s", ErrInvalid, t.ID, stamp(t.Expires), stamp(a.at))
	}
	if _, ok := s.JoinToken(t.ID); ok {
		return s, fmt.Errorf("join token %s: %w", t.ID, ErrExists)
	}
	var spent []JoinToken
	for old := range s.tokens.all() {
		switch {
		case a.at.Sub(old.Expires) > joinTokenKept:
			s.tokens = s.tokens.drop([]byte(old.ID))
		case old.Spent != "":
			spent = append(spent, old)
		}
	}
	slices.SortStableFunc(spent, func(a, b JoinToken) int { return a.Expires.Compare(b.Expires) })
	for ; s.tokens.len() >= MaxJoinTokens; spent = spent[1:] {
		if len(spent) == 0 {
			return s, fmt.Errorf("%w join token: %d are waiting to be used, at most %d; use some, or wait until they expire", ErrInvalid, s.tokens.len(), MaxJoinTokens)
		}
		s.tokens = s.tokens.drop([]byte(spent[0].ID))
	}
	t.Expires = t.Expires.UTC()
	s.tokens = s.tokens.put([]byte(t.ID), t)
	return s, nil
}

// JoinController lets a controller in that shows the secret of a token. The same controller may ask again: that
// changes nothing.
type JoinController struct {
	Token      string     `json:"token"` // its id
	Proof      Digest     `json:"proof"` // the SHA-256 of the secret that was shown
	Controller Controller `json:"controller"`
}

// Kind implements Command.
func (JoinController) Kind() string { return "controller.join" }

func (c JoinController) apply(s State, a applied) (State, error) {
	if s.cluster == nil {
		return s, errNoCluster()
	}
	token, ok := s.JoinToken(c.Token)
	// The same words for both: who guesses ids learns nothing.
	if !ok || subtle.ConstantTimeCompare(token.Hash[:], c.Proof[:]) != 1 {
		return s, fmt.Errorf("%w: the token is wrong or long expired; samara controller token makes another", ErrJoin)
	}
	if token.Spent != "" {
		return s, s.checkJoined(token, c.Controller)
	}
	if !a.at.Before(token.Expires) {
		return s, fmt.Errorf("%w: the token expired at %s; samara controller token makes another", ErrJoin, stamp(token.Expires))
	}
	if err := s.checkNewController(c.Controller); err != nil {
		return s, err
	}
	cluster := *s.cluster
	cluster.Controllers = append(slices.Clone(cluster.Controllers), c.Controller)
	cluster.Revision = a.rev
	s.cluster = &cluster
	token.Spent, token.SpentKey = c.Controller.ID, c.Controller.Key
	s.tokens = s.tokens.put([]byte(token.ID), token)
	return s, nil
}

// checkJoined reports why ctl cannot show a spent token again.
func (s State) checkJoined(token JoinToken, ctl Controller) error {
	if token.Spent != ctl.ID || token.SpentKey != ctl.Key {
		return fmt.Errorf("%w: controller %s has used the token; samara controller token makes another", ErrJoin, token.Spent)
	}
	member, ok := s.cluster.Controller(ctl.ID)
	switch {
	case !ok || member.Key != ctl.Key:
		return fmt.Errorf("%w: controller %s used the token and was removed since; samara controller token makes another", ErrJoin, ctl.ID)
	case member != ctl:
		return fmt.Errorf("%w: controller %s has joined as %s with other ports or another address; samara controller remove %s, then join it with another token", ErrJoin, ctl.ID, member.Address, ctl.ID)
	}
	return nil
}

// checkNewController reports why ctl cannot become a controller.
func (s State) checkNewController(ctl Controller) error {
	if err := ctl.check(); err != nil {
		return err
	}
	if ctl.Key.IsZero() {
		return fmt.Errorf("%w controller %s: without a key", ErrInvalid, ctl.ID)
	}
	if len(s.cluster.Controllers) >= MaxControllers {
		return fmt.Errorf("%w controller %s: the cluster has %d, at most %d", ErrInvalid, ctl.ID, len(s.cluster.Controllers), MaxControllers)
	}
	for _, other := range s.cluster.Controllers {
		switch {
		case other.ID == ctl.ID:
			return fmt.Errorf("controller %s: %w, at %s; choose another name, or first samara controller remove %s", ctl.ID, ErrExists, other.Address, ctl.ID)
		case other.Address == ctl.Address:
			return fmt.Errorf("address %s %w: controller %s has it; choose another address, or first samara controller remove %s", ctl.Address, ErrExists, other.ID, other.ID)
		case other.Key == ctl.Key:
			return fmt.Errorf("key of controller %s %w: controller %s has it", ctl.ID, ErrExists, other.ID)
		}
	}
	return s.checkControllerAddress(ctl)
}

// checkControllerAddress reports why ctl cannot have its address, given what nodes and networks have.
func (s State) checkControllerAddress(ctl Controller) error {
	if n, taken := s.NodeByIP(ctl.Address); taken {
		return fmt.Errorf("address %s of controller %s %w: node %s has it; choose another address", ctl.Address, ctl.ID, ErrExists, n.Name)
	}
	n, ok := s.NetworkOf(ctl.Address)
	if !ok {
		return nil // nodes reach it through a gateway; it may be a network's gateway as well
	}
	if err := n.CheckHost(ctl.Address); err != nil {
		return fmt.Errorf("controller %s: %w", ctl.ID, err)
	}
	if n.Discovery.Contains(ctl.Address) {
		return fmt.Errorf("%w address %s of controller %s: inside the discovery pool %s of network %s", ErrInvalid, ctl.Address, ctl.ID, n.Discovery, n.Name)
	}
	return nil
}

// RemoveController takes a controller out of the cluster, but never the last one. Its token stays spent.
type RemoveController struct {
	ID string `json:"id"`
}

// Kind implements Command.
func (RemoveController) Kind() string { return "controller.remove" }

func (c RemoveController) apply(s State, a applied) (State, error) {
	if s.cluster == nil {
		return s, errNoCluster()
	}
	if _, ok := s.cluster.Controller(c.ID); !ok {
		return s, fmt.Errorf("controller %s: %w; samara controller list shows them", c.ID, ErrNotFound)
	}
	if len(s.cluster.Controllers) == 1 {
		return s, fmt.Errorf("%w change: controller %s is the last one", ErrInvalid, c.ID)
	}
	cluster := *s.cluster
	cluster.Controllers = slices.DeleteFunc(slices.Clone(cluster.Controllers), func(ctl Controller) bool { return ctl.ID == c.ID })
	cluster.Revision = a.rev
	s.cluster = &cluster
	return s, nil
}

// ReplaceControllers says who the controllers are, whatever was before. It is for a state that no controller runs from:
// one that is recovered from the controllers that are left, or restored from a backup. Join tokens are forgotten. The
// new controllers are of a release that knows format 2, so that the cluster is at 2 afterwards at least.
type ReplaceControllers struct {
	Controllers []Controller `json:"controllers"`
}

// Kind implements Command.
func (ReplaceControllers) Kind() string { return "controller.replace" }

func (ReplaceControllers) raises() int { return 2 }

func (c ReplaceControllers) apply(s State, a applied) (State, error) {
	if s.cluster == nil {
		return s, errNoCluster()
	}
	cluster := *s.cluster
	cluster.Controllers = slices.Clone(c.Controllers)
	cluster.Format = max(2, cluster.Format)
	cluster.Revision = a.rev
	if err := cluster.checkControllers(); err != nil {
		return s, err
	}
	for _, ctl := range cluster.Controllers {
		if err := s.checkControllerAddress(ctl); err != nil {
			return s, err
		}
	}
	s.cluster = &cluster
	s.tokens = tree[JoinToken]{}
	return s, nil
}
