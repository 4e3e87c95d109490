package fleet

import (
	"fmt"
	"slices"
	"time"
)

// An Edit puts and deletes objects of the configuration, all or none. What it puts is whole: a field that it does not
// have, the object will not have either, but for three. Revision and Node.Discover are not looked at, and a password that
// is nil stays as it was. Of an object that is already as it is put, nothing changes, its revision neither. The order of
// the objects does not matter: nodes can swap addresses, and an object may name another that the same Edit puts.
type Edit struct {
	Puts    []Object `json:"puts,omitempty"`
	Deletes []Ref    `json:"deletes,omitempty"`
}

// Kind implements Command.
func (Edit) Kind() string { return "config.edit" }

func (c Edit) apply(s State, a applied) (State, error) {
	if err := c.check(); err != nil {
		return s, err
	}
	e := editing{State: s, was: s, rev: a.rev}
	for _, step := range [...]func(Edit) error{e.putNetworks, e.putProfiles, e.putNodes, e.putCluster, e.checkLeft, e.checkPlaces, e.checkNodes} {
		if err := step(c); err != nil {
			return s, err
		}
	}
	return e.State, nil
}

// check validates what can be said of c alone.
func (c Edit) check() error {
	if len(c.Puts)+len(c.Deletes) == 0 {
		return fmt.Errorf("%w change: it names no object", ErrInvalid)
	}
	seen := make(map[Ref]bool, len(c.Puts)+len(c.Deletes))
	once := func(r Ref) error {
		if seen[r] {
			return fmt.Errorf("%w change: it names %s twice", ErrInvalid, r)
		}
		seen[r] = true
		return nil
	}
	for at, o := range c.Puts {
		r := o.Ref()
		if r.Kind == "" {
			return fmt.Errorf("%w change: object %d of those to put: want one node, profile, network or cluster", ErrInvalid, at+1)
		}
		if o.SecretsOf != "" && o.Node == nil && o.Profile == nil {
			return fmt.Errorf("%w change: %s has no secrets that could be those of %.80q", ErrInvalid, r, o.SecretsOf)
		}
		if err := once(r); err != nil {
			return err
		}
	}
	for _, r := range c.Deletes {
		if err := r.check(); err != nil {
			return err
		}
		if err := once(r); err != nil {
			return err
		}
	}
	return nil
}

// deleted yields the names of the objects of one kind that c deletes.
func (c Edit) deleted(kind string) []string {
	var names []string
	for _, r := range c.Deletes {
		if r.Kind == kind {
			names = append(names, r.Name)
		}
	}
	return names
}

// An editing is a state that is being edited.
type editing struct {
	State
	was State
	rev Revision

	moved    bool     // whether a network has changed, come or gone
	profiled []string // profiles that have changed
	changed  []string // nodes that have changed
}

func (e *editing) putNetworks(c Edit) error {
	for _, name := range c.deleted(ObjectNetwork) {
		if _, ok := e.Network(name); !ok {
			return fmt.Errorf("network %s: %w", name, ErrNotFound)
		}
		e.State = e.deleteNetwork(name)
		e.moved = true
	}
	var changed []Network
	for _, o := range c.Puts {
		if o.Network == nil {
			continue
		}
		if err := o.Network.check(); err != nil {
			return err
		}
		if old, ok := e.Network(o.Network.Name); ok && old.same(*o.Network) {
			continue
		}
		e.State = e.storeNetwork(*o.Network, e.rev)
		changed = append(changed, *o.Network)
		e.moved = true
	}
	for _, n := range changed {
		if err := e.checkNetwork(n); err != nil {
			return err
		}
	}
	return nil
}

func (e *editing) putProfiles(c Edit) error {
	for _, name := range c.deleted(ObjectProfile) {
		if _, ok := e.Profile(name); !ok {
			return fmt.Errorf("profile %s: %w", name, ErrNotFound)
		}
		e.State = e.deleteProfile(name)
	}
	for _, o := range c.Puts {
		if o.Profile == nil {
			continue
		}
		p := o.Profile.clone()
		p.Settings.tidy()
		p.Profiles = orNil(p.Profiles)
		old, had := e.Profile(p.Name)
		secrets, err := e.secretsFor(o, old.BMC)
		if err != nil {
			return err
		}
		p.BMC.keepSecrets(secrets)
		if had && p.same(old) {
			continue
		}
		if err := p.check(); err != nil {
			return err
		}
		e.State = e.storeProfile(p, e.rev)
		e.profiled = append(e.profiled, p.Name)
	}
	if n := e.profiles.len(); n > MaxProfiles {
		return fmt.Errorf("%w change: %d profiles, at most %d", ErrInvalid, n, MaxProfiles)
	}
	for _, name := range e.profiled {
		if err := e.checkProfile(name); err != nil {
			return err
		}
	}
	return nil
}

// checkProfile validates a profile against the rest of the state.
func (s State) checkProfile(name string) error {
	p, _ := s.Profile(name)
	if !p.Image.IsZero() {
		if _, _, err := s.ImageVersion(p.Image); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
	}
	if err := s.checkProfiles(ObjectProfile, name, p.Profiles); err != nil {
		return err
	}
	return s.checkCycle(name)
}

func (e *editing) putNodes(c Edit) error {
	for _, name := range c.deleted(ObjectNode) {
		n, ok := e.Node(name)
		if !ok {
			return fmt.Errorf("node %s: %w", name, ErrNotFound)
		}
		e.State = e.deleteNode(n)
	}
	var changed []Node
	moves := map[string]bool{}
	for _, o := range c.Puts {
		if o.Node == nil {
			continue
		}
		n := o.Node.clone()
		n.Settings.tidy()
		n.Profiles = orNil(n.Profiles)
		old, had := e.Node(n.Name)
		secrets, err := e.secretsFor(o, old.BMC)
		if err != nil {
			return err
		}
		n.BMC.keepSecrets(secrets)
		n.Discover = old.Discover
		if had && n.same(old) {
			continue
		}
		if err := e.checkSettings(n); err != nil {
			return err
		}
		// Addresses first leave all the nodes that change them, so that nodes can swap.
		if moves[n.Name] = !had || !sameAddresses(old, n); moves[n.Name] {
			e.State = e.disarm(old).dropAddresses(old)
		}
		if !slices.Equal(old.Profiles, n.Profiles) {
			e.State = e.dropUser(old).indexUser(n)
		}
		changed = append(changed, n)
	}
	for _, n := range changed {
		if moves[n.Name] {
			if err := e.checkMoved(n); err != nil {
				return err
			}
			if !n.claimable() {
				n.Discover = time.Time{}
			}
			e.State = e.indexAddresses(n).arm(n)
		}
		e.State = e.storeNode(n, e.rev)
		e.changed = append(e.changed, n.Name)
	}
	return nil
}

func (e *editing) putCluster(c Edit) (err error) {
	for _, o := range c.Puts {
		if o.Cluster != nil {
			e.State, err = e.editCluster(*o.Cluster, e.rev)
		}
	}
	return err
}

// checkLeft reports what still names a profile that is gone.
func (e *editing) checkLeft(c Edit) error {
	for _, name := range c.deleted(ObjectProfile) {
		if err := e.checkUnused(name); err != nil {
			return err
		}
	}
	return nil
}

// checkPlaces reports which addresses do not fit the networks any more, if these have changed.
func (e *editing) checkPlaces(c Edit) error {
	if !e.moved {
		return nil
	}
	for _, name := range c.deleted(ObjectNetwork) {
		gone, _ := e.was.Network(name)
		users := e.nodesWhere(func(n Node) bool {
			return slices.ContainsFunc(n.Interfaces, func(i Interface) bool {
				_, other := e.NetworkOf(i.IP)
				return i.IP.IsValid() && gone.Subnet.Contains(i.IP) && !other
			})
		})
		if len(users) > 0 {
			return fmt.Errorf("network %s: %w by %s", name, ErrInUse, foldSome("node", users))
		}
	}
	e.armed = tree[string]{}
	for n := range e.Nodes() {
		if err := e.checkPlaced(n); err != nil {
			return err
		}
		e.State = e.arm(n)
	}
	return nil
}

// checkNodes validates what has become of nodes: those that were put, and those whose profiles or networks have changed.
func (e *editing) checkNodes(Edit) error {
	resolve := e.resolver()
	check := func(names []string, cause string) error {
		for _, name := range names {
			n, ok := e.nodes.get([]byte(name))
			if !ok {
				continue
			}
			if err := e.checkResolved(resolve(n)); err != nil {
				return fmt.Errorf("%s%w", cause, err)
			}
		}
		return nil
	}
	if err := check(e.changed, ""); err != nil {
		return err
	}
	if e.moved {
		return check(e.nodesWhere(func(Node) bool { return true }), "networks change: ")
	}
	if len(e.profiled) == 0 {
		return nil
	}
	return check(e.UsersOf(e.profiled...), foldSome("profile", e.profiled)+": ")
}

// tidy brings s into the one form that settings have which say the same: parts in the order of names, and nil for what
// says nothing.
func (s *Settings) tidy() {
	tidyRows(settingsTable, s)
}

// orNil returns nil for an empty list.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// secretsFor returns what has the secrets that an object is to keep: old, or what another object was before the edit.
func (e *editing) secretsFor(o Object, old BMC) (BMC, error) {
	if o.SecretsOf == "" {
		return old, nil
	}
	from := Ref{o.Ref().Kind, o.SecretsOf}
	switch was, _ := e.was.Object(from); {
	case was.Node != nil:
		return was.Node.BMC, nil
	case was.Profile != nil:
		return was.Profile.BMC, nil
	}
	return BMC{}, fmt.Errorf("%s: secrets of %s: %w", o.Ref(), from, ErrNotFound)
}

// keepSecrets takes from old the secrets that b leaves as they were, and those away that it clears.
func (b *BMC) keepSecrets(old BMC) {
	if b.Password == nil {
		b.Password = old.Password
	}
	b.Password = orNil(b.Password)
}

// same reports whether two nodes say the same, whenever they were written and whether or not they are armed.
func (n Node) same(other Node) bool {
	return n.Comment == other.Comment && slices.Equal(n.Profiles, other.Profiles) && n.AssetKey == other.AssetKey &&
		sameRows(settingsTable, &n.Settings, &other.Settings)
}

// same reports whether two profiles say the same, whenever they were written.
func (p Profile) same(other Profile) bool {
	return p.Comment == other.Comment && slices.Equal(p.Profiles, other.Profiles) && sameRows(settingsTable, &p.Settings, &other.Settings)
}
