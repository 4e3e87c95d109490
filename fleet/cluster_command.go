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

func (c InitCluster) apply(s State, rev Revision) (State, error) {
	if s.cluster != nil {
		return s, fmt.Errorf("cluster %s: %w", s.cluster.Name, ErrExists)
	}
	if err := c.Cluster.check(); err != nil {
		return s, err
	}
	cluster := c.Cluster
	cluster.Revision = rev
	s.cluster = &cluster
	for _, n := range c.Networks {
		var err error
		if s, err = (PutNetwork{Network: n, Create: true}).apply(s, rev); err != nil {
			return s, err
		}
	}
	return s, nil
}

// SetCluster changes what holds for the whole cluster. Nil fields stay as they are.
type SetCluster struct {
	AuthorizedKeys *[]string `json:"authorized_keys,omitempty"` // root's, on every node
}

// Kind implements Command.
func (SetCluster) Kind() string { return "cluster.set" }

func (c SetCluster) apply(s State, rev Revision) (State, error) {
	if s.cluster == nil {
		return s, fmt.Errorf("cluster: %w; run samara init first", ErrNotFound)
	}
	cluster := *s.cluster
	if c.AuthorizedKeys != nil {
		if err := checkAuthorizedKeys(*c.AuthorizedKeys); err != nil {
			return s, err
		}
		cluster.AuthorizedKeys = slices.Clone(*c.AuthorizedKeys)
	}
	cluster.Revision = rev
	s.cluster = &cluster
	return s, nil
}
