package fleet

import (
	"fmt"
	"slices"
)

// InitCluster is the first command of every log.
type InitCluster struct {
	Cluster  Cluster   `json:"cluster"`
	Networks []Network `json:"networks,omitempty"`
}

// Kind implements Command.
func (InitCluster) Kind() string { return "cluster.init" }

func (c InitCluster) raises() int { return c.Cluster.Format }

func (c InitCluster) needs() int {
	switch {
	case c.Cluster.Seeding != (Seeding{}):
		return max(3, c.Cluster.Format)
	case slices.ContainsFunc(c.Cluster.Controllers, func(ctl Controller) bool { return !ctl.Key.IsZero() }):
		return max(2, c.Cluster.Format)
	}
	return c.Cluster.Format
}

func (c InitCluster) apply(s State, a applied) (State, error) {
	if s.cluster != nil {
		return s, fmt.Errorf("cluster %s: %w", s.cluster.Name, ErrExists)
	}
	if err := c.Cluster.check(); err != nil {
		return s, err
	}
	cluster := c.Cluster
	cluster.Revision = a.rev
	if cluster.Format == 1 {
		cluster.Format = 0 // as format 1 writes it
	}
	s.cluster = &cluster
	for _, n := range c.Networks {
		var err error
		if s, err = (PutNetwork{Network: n, Create: true}).apply(s, a); err != nil {
			return s, err
		}
	}
	return s, nil
}

// SetCluster changes what holds for the whole cluster. Nil fields stay as they are.
type SetCluster struct {
	AuthorizedKeys *[]string   `json:"authorized_keys,omitempty"` // root's, on every node
	Seeding        *SetSeeding `json:"seeding,omitempty"`         // not before format 3
}

// Kind implements Command.
func (SetCluster) Kind() string { return "cluster.set" }

func (c SetCluster) needs() int {
	if c.Seeding != nil {
		return 3
	}
	return 1
}

func (c SetCluster) apply(s State, a applied) (State, error) {
	if s.cluster == nil {
		return s, errNoCluster()
	}
	cluster := *s.cluster
	if c.AuthorizedKeys != nil {
		if err := checkAuthorizedKeys(*c.AuthorizedKeys); err != nil {
			return s, err
		}
		cluster.AuthorizedKeys = slices.Clone(*c.AuthorizedKeys)
	}
	if c.Seeding != nil {
		cluster.Seeding = c.Seeding.apply(cluster.Seeding)
		if err := cluster.Seeding.check(); err != nil {
			return s, err
		}
	}
	cluster.Revision = a.rev
	s.cluster = &cluster
	return s, nil
}

// SetFormat raises the cluster's format, once every controller understands it. From then on an older one stops.
type SetFormat struct {
	Format int `json:"format"`
}

// Kind implements Command.
func (SetFormat) Kind() string { return "cluster.format" }

func (c SetFormat) raises() int { return c.Format }

func (c SetFormat) needs() int { return c.Format }

func (c SetFormat) apply(s State, a applied) (State, error) {
	switch now := s.Format(); {
	case s.cluster == nil:
		return s, errNoCluster()
	case c.Format < now || c.Format > Format:
		return s, fmt.Errorf("%w format %d: the cluster is at %d, this release knows %d", ErrInvalid, c.Format, now, Format)
	case c.Format == now:
		return s, nil
	}
	cluster := *s.cluster
	cluster.Format = c.Format
	cluster.Revision = a.rev
	s.cluster = &cluster
	return s, nil
}

// MaxCAKey bounds the sealed key of the CA, in bytes.
const MaxCAKey = 16 << 10

// SealCAKey puts a sealed form of the CA's key in the place of the present one. How it is sealed is for those to know
// who use it.
type SealCAKey struct {
	Sealed Secret `json:"sealed"`
}

// Kind implements Command.
func (SealCAKey) Kind() string { return "cluster.seal" }

func (c SealCAKey) apply(s State, a applied) (State, error) {
	switch {
	case s.cluster == nil:
		return s, errNoCluster()
	case len(c.Sealed) == 0 || len(c.Sealed) > MaxCAKey:
		return s, fmt.Errorf("%w sealed CA key: %d bytes, want 1 to %d", ErrInvalid, len(c.Sealed), MaxCAKey)
	}
	cluster := *s.cluster
	cluster.CAKey = slices.Clone(c.Sealed)
	cluster.Revision = a.rev
	s.cluster = &cluster
	return s, nil
}
