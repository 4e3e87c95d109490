package controller

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

// users issues certificates for people. It implements api.Users: any controller can do so, leader or not.
type users struct {
	state     func() fleet.State
	authority func(fleet.Cluster) (*identity.Authority, error)
	now       func() time.Time
}

// Issue implements api.Users.
func (u *users) Issue(_ context.Context, who identity.Subject, key *ecdsa.PublicKey, life time.Duration) (api.UserCertificate, error) {
	cluster, ok := u.state().Cluster()
	if !ok {
		return api.UserCertificate{}, fmt.Errorf("cluster: %w", fleet.ErrNotFound)
	}
	authority, err := u.authority(cluster)
	if err != nil {
		return api.UserCertificate{}, err
	}
	now := u.now()
	chain, err := authority.Issue(who, key, nil, now, life)
	if err != nil {
		return api.UserCertificate{}, err
	}
	return api.UserCertificate{Certificate: chain, CA: cluster.CA, Expires: now.Add(life).UTC().Truncate(time.Second)}, nil
}
