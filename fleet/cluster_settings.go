package fleet

import "slices"

// ClusterSettings are what people choose for the whole cluster.
type ClusterSettings struct {
	AuthorizedKeys []string `json:"authorized_keys,omitempty"` // root's, on every node
	Seeding        Seeding  `json:"seeding,omitzero"`
}

// Settings returns what people chose for the whole cluster.
func (c Cluster) Settings() ClusterSettings {
	return ClusterSettings{AuthorizedKeys: c.AuthorizedKeys, Seeding: c.Seeding}
}

func (c ClusterSettings) same(other ClusterSettings) bool {
	return slices.Equal(c.AuthorizedKeys, other.AuthorizedKeys) && c.Seeding == other.Seeding
}

// editCluster returns s with c in the place of what was chosen.
func (s State) editCluster(c ClusterSettings, rev Revision) (State, error) {
	if s.cluster == nil {
		return s, errNoCluster()
	}
	if err := checkAuthorizedKeys(c.AuthorizedKeys); err != nil {
		return s, err
	}
	if err := c.Seeding.check(); err != nil {
		return s, err
	}
	if s.cluster.Settings().same(c) {
		return s, nil
	}
	cluster := *s.cluster
	cluster.AuthorizedKeys, cluster.Seeding, cluster.Revision = slices.Clone(c.AuthorizedKeys), c.Seeding, rev
	s.cluster = &cluster
	return s, nil
}
