package api

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A UserRequest asks for a certificate for a person, or for a program that acts for one. The private key stays where it
// was made.
type UserRequest struct {
	Name string        `json:"name"`             // as audit records have it, after the role
	Role identity.Role `json:"role"`             // viewer, operator or admin
	CSR  []byte        `json:"csr"`              // DER PKCS #10; only its public key counts
	Life int64         `json:"life_s,omitempty"` // seconds; 0 is DefaultUserLife
}

// A UserCertificate is what a person shows to controllers, and what they are known by.
type UserCertificate struct {
	Certificate []byte    `json:"certificate"` // PEM chain
	CA          []byte    `json:"ca"`          // PEM
	Expires     time.Time `json:"expires"`
}

// Lives of a person's certificate: what is meant by none, and what can be asked for. There is no way to take a certificate
// back before its end.
const (
	DefaultUserLife = 90 * 24 * time.Hour
	MaxUserLife     = identity.AdminLife
)

// Users lets people in. Its method is called from any goroutine.
type Users interface {
	// Issue returns a certificate for a person, valid from now on for life.
	Issue(ctx context.Context, who identity.Subject, key *ecdsa.PublicKey, life time.Duration) (UserCertificate, error)
}

// addUser issues a certificate. It is no change of the state: what tells of it is the log of the controller.
func (s *Server) addUser(ctx context.Context, r *request, body UserRequest) (UserCertificate, error) {
	if s.Users == nil {
		return UserCertificate{}, errNotHere("certificates for people")
	}
	if err := fleet.CheckName("user", body.Name); err != nil {
		return UserCertificate{}, err
	}
	if !body.Role.IsPerson() {
		return UserCertificate{}, fmt.Errorf("%w role %.40q of user %s: want viewer, operator or admin", fleet.ErrInvalid, body.Role, body.Name)
	}
	life := DefaultUserLife
	switch limit := int64(MaxUserLife / time.Second); {
	case body.Life < 0 || body.Life > limit:
		return UserCertificate{}, fmt.Errorf("%w life of %d s of user %s: want at most %d", fleet.ErrInvalid, body.Life, body.Name, limit)
	case body.Life > 0:
		life = time.Duration(body.Life) * time.Second
	}
	key, err := identity.RequestKey(body.CSR)
	if err != nil {
		return UserCertificate{}, fmt.Errorf("%w request for user %s: %w", fleet.ErrInvalid, body.Name, err)
	}
	who := identity.Subject{Role: body.Role, Name: body.Name}
	made, err := s.Users.Issue(ctx, who, key, life)
	if err != nil {
		return UserCertificate{}, err
	}
	s.Logger.Info("issued a certificate for a person", "subject", who.String(), "until", made.Expires, "by", r.who, "why", r.URL.Query().Get(whyParam))
	return made, nil
}

// AddUser returns a certificate for a person. The error wraps fleet.ErrInvalid if the name, the role, the life or the
// certificate request is not to be had.
func (c *Client) AddUser(ctx context.Context, r UserRequest, o ChangeOptions) (UserCertificate, error) {
	return change(ctx, c, addUser, r, o)
}
