package controller

import (
	"crypto/ecdsa"
	"fmt"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// users signs certificates for people. It implements api.Users: any controller can do so, leader or not.
type users struct {
	state     func() fleet.State
	authority func(fleet.Cluster) (*identity.Authority, error)
}

// Issue implements api.Users.
func (u *users) Issue(who fleet.User, c fleet.Certificate, key *ecdsa.PublicKey) (certificate, ca []byte, err error) {
	cluster, ok := u.state().Cluster()
	if !ok {
		return nil, nil, fmt.Errorf("cluster: %w", fleet.ErrNotFound)
	}
	authority, err := u.authority(cluster)
	if err != nil {
		return nil, nil, err
	}
	chain, err := authority.IssueUser(who, c, key)
	return chain, cluster.CA, err
}
