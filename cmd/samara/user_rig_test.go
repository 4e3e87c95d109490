package main

import (
	"context"
	"crypto/ecdsa"
	"time"

	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

// people lets people in, as a controller does that has the cluster's authority.
type people struct{ ca, key []byte }

// Issue implements api.Users.
func (p people) Issue(_ context.Context, who identity.Subject, key *ecdsa.PublicKey, life time.Duration) (api.UserCertificate, error) {
	authority, err := identity.ParseAuthority(p.ca, p.key)
	if err != nil {
		return api.UserCertificate{}, err
	}
	now := time.Now()
	chain, err := authority.Issue(who, key, nil, now, life)
	return api.UserCertificate{Certificate: chain, CA: p.ca, Expires: now.Add(life)}, err
}
