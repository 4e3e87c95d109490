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
// was made. Who is a user already gets another certificate, if the role is theirs.
type UserRequest struct {
	Name string         `json:"name"`             // as audit records have it, after the role
	Role fleet.UserRole `json:"role"`             // viewer, operator or admin
	CSR  []byte         `json:"csr"`              // DER PKCS #10; only its public key counts
	Life int64          `json:"life_s,omitempty"` // seconds; 0 is DefaultUserLife
}

// A UserCertificate is what a person shows to controllers, and what they are known by.
type UserCertificate struct {
	Certificate []byte         `json:"certificate"` // PEM chain
	CA          []byte         `json:"ca"`          // PEM
	Serial      string         `json:"serial"`      // as fleet.Certificate has it
	Expires     time.Time      `json:"expires"`
	Revision    fleet.Revision `json:"revision"` // since which it is in force
}

// Lives of a person's certificate: what is meant by none, and what can be asked for.
const (
	DefaultUserLife = 90 * 24 * time.Hour
	MaxUserLife     = identity.AdminLife
)

// Users lets people in. Its method is called from any goroutine.
type Users interface {
	// Issue signs one certificate of u, for a key, and returns it with the authority's, both in PEM.
	Issue(u fleet.User, c fleet.Certificate, key *ecdsa.PublicKey) (certificate, ca []byte, err error)
}

// listUsers tells of certificates that hold, and of who has one. All of it may be seen by whoever sees the history.
func (s *Server) listUsers(_ context.Context, r *request, _ none) ([]fleet.User, error) {
	r.about = fleet.Condition{} // users are no configuration
	users := []fleet.User{}
	for u := range r.state.Users() {
		if left, some := u.InForce(s.Now()); some {
			users = append(users, left)
		}
	}
	return users, nil
}

// addUser notes a certificate in the state, and returns it. The serial number is one for all attempts of a request, so
// that an attempt whose answer was lost leaves no certificate behind that nobody has.
func (s *Server) addUser(ctx context.Context, r *request, body UserRequest) (UserCertificate, error) {
	if s.Users == nil {
		return UserCertificate{}, errNotHere("certificates for people")
	}
	life, err := body.check()
	if err != nil {
		return UserCertificate{}, err
	}
	key, err := identity.RequestKey(body.CSR)
	if err != nil {
		return UserCertificate{}, fmt.Errorf("%w request for user %s: %w", fleet.ErrInvalid, body.Name, err)
	}
	serial, err := identity.UserSerial(r.id, key)
	if err != nil {
		return UserCertificate{}, fmt.Errorf("user %s: %w", body.Name, err)
	}
	now := s.Now().UTC()
	one := fleet.Certificate{Serial: serial, Issued: now, Expires: now.Add(life).Truncate(time.Second)}
	// What cannot be signed is not noted.
	signed, ca, err := s.Users.Issue(fleet.User{Name: body.Name, Role: body.Role}, one, key)
	if err != nil {
		return UserCertificate{}, fmt.Errorf("user %s: %w", body.Name, err)
	}
	rev, err := s.Store.Propose(ctx, fleet.Entry{ID: r.id, At: now, Who: r.who, Why: r.URL.Query().Get(whyParam),
		Command: fleet.AddCertificate{Name: body.Name, Role: body.Role, Serial: serial, Expires: one.Expires}})
	if err != nil {
		return UserCertificate{}, err
	}
	state := s.Store.State()
	r.revision = max(rev, state.Revision())
	u, _ := state.User(body.Name)
	noted, ok := u.Certificate(serial)
	if !ok {
		return UserCertificate{}, fmt.Errorf("user %s %w: somebody took the certificate back meanwhile", body.Name, fleet.ErrConflict)
	}
	if !noted.Expires.Equal(one.Expires) { // an earlier attempt was noted, perhaps at another controller
		if signed, ca, err = s.Users.Issue(u, noted, key); err != nil {
			return UserCertificate{}, fmt.Errorf("user %s: %w", body.Name, err)
		}
	}
	return UserCertificate{Certificate: signed, CA: ca, Serial: serial, Expires: noted.Expires, Revision: rev}, nil
}

// check validates r, and returns how long the certificate is to last.
func (r UserRequest) check() (time.Duration, error) {
	if err := fleet.CheckUserName(r.Name); err != nil {
		return 0, err
	}
	if err := fleet.CheckUserRole(r.Name, r.Role); err != nil {
		return 0, err
	}
	switch limit := int64(MaxUserLife / time.Second); {
	case r.Life < 0 || r.Life > limit:
		return 0, fmt.Errorf("%w life of %d s of user %s: want at most %d", fleet.ErrInvalid, r.Life, r.Name, limit)
	case r.Life > 0:
		return time.Duration(r.Life) * time.Second, nil
	}
	return DefaultUserLife, nil
}

func (s *Server) deleteUser(ctx context.Context, r *request, _ none) (Change, error) {
	return s.change(ctx, r, fleet.DeleteUser{Name: r.PathValue("user")})
}

// AddUser returns a certificate for a person. The error wraps fleet.ErrInvalid if the name, the role, the life or the
// certificate request is not to be had, fleet.ErrExists if the user has another role.
func (c *Client) AddUser(ctx context.Context, r UserRequest, o ChangeOptions) (UserCertificate, error) {
	return change(ctx, c, addUser, r, o)
}

// Users returns who has a certificate that holds, by name.
func (c *Client) Users(ctx context.Context) ([]fleet.User, error) {
	return read(ctx, c, listUsers)
}

// DeleteUser takes all certificates of a user back.
func (c *Client) DeleteUser(ctx context.Context, name string, o ChangeOptions) (Change, error) {
	return change(ctx, c, deleteUser, none{}, o, name)
}
