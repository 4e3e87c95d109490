package main

import (
	"crypto/ecdsa"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// people lets people in, as a controller does that has the cluster's authority.
type people struct{ ca, key []byte }

// Issue implements api.Users.
func (p people) Issue(u fleet.User, c fleet.Certificate, key *ecdsa.PublicKey) (certificate, ca []byte, err error) {
	authority, err := identity.ParseAuthority(p.ca, p.key)
	if err != nil {
		return nil, nil, err
	}
	chain, err := authority.IssueUser(u, c, key)
	return chain, p.ca, err
}
