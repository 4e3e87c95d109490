package fleet

import (
	"fmt"
	"slices"
	"time"
)

// A UserChange says what one entry did to a user.
type UserChange struct {
	Name    string    `json:"name"`
	Action  string    `json:"action"` // add; set, for a further certificate; or delete
	Role    UserRole  `json:"role"`
	Serial  string    `json:"serial,omitempty"`  // of the certificate that was issued
	Expires time.Time `json:"expires,omitzero"`  // its end
	Revoked []string  `json:"revoked,omitempty"` // the serial numbers of those that were taken back
}

// AddCertificate makes a certificate of a user valid, and a user of who is none yet. What ended before the entry was
// proposed is forgotten, of all users.
type AddCertificate struct {
	Name    string    `json:"name"`
	Role    UserRole  `json:"role"`
	Serial  string    `json:"serial"`
	Expires time.Time `json:"expires"`
}

// Kind implements Command.
func (AddCertificate) Kind() string { return "user.add" }

func (c AddCertificate) apply(s State, a applied) (State, error) {
	if err := c.check(a.at); err != nil {
		return s, err
	}
	s = s.dropEnded(a.at)
	u, known := s.User(c.Name)
	told := UserChange{Name: c.Name, Action: "add", Role: c.Role, Serial: c.Serial, Expires: c.Expires.UTC()}
	switch _, twice := u.Certificate(c.Serial); {
	case !known && s.people.len() >= MaxUsers:
		return s, fmt.Errorf("%w user %s: there are %d, at most %d; samara user delete takes one away", ErrInvalid, c.Name, s.people.len(), MaxUsers)
	case !known:
		u = User{Name: c.Name, Role: c.Role}
	case u.Role != c.Role:
		return s, fmt.Errorf("user %s %w, with the role %s: --role %s gives another certificate; to change the role, first samara user delete %s", c.Name, ErrExists, u.Role, u.Role, c.Name)
	case twice:
		return s, fmt.Errorf("certificate %s of user %s: %w", c.Serial, c.Name, ErrExists)
	case len(u.Certificates) >= MaxCertificates:
		return s, fmt.Errorf("%w certificate: user %s has %d, at most %d; wait until one ends, or samara user delete %s takes all of them back", ErrInvalid, c.Name, len(u.Certificates), MaxCertificates, c.Name)
	default:
		told.Action = "set"
	}
	u.Certificates = append(slices.Clone(u.Certificates), Certificate{Serial: c.Serial, Issued: a.at.UTC(), Expires: told.Expires, By: a.who})
	s.people = s.people.put([]byte(c.Name), &u)
	s.told = &told
	return s, nil
}

// check validates what can be said of c alone, proposed at a time.
func (c AddCertificate) check(at time.Time) error {
	if err := CheckUserName(c.Name); err != nil {
		return err
	}
	if err := CheckUserRole(c.Name, c.Role); err != nil {
		return err
	}
	if err := checkSerial(c.Serial); err != nil {
		return fmt.Errorf("user %s: %w", c.Name, err)
	}
	if !c.Expires.After(at) || c.Expires.Year() > maxYear {
		return fmt.Errorf("%w certificate of user %s: it ends at %s, want a time after %s", ErrInvalid, c.Name, stamp(c.Expires), stamp(at))
	}
	return nil
}

// DeleteUser takes all certificates of a user back.
type DeleteUser struct {
	Name string `json:"name"`
}

// Kind implements Command.
func (DeleteUser) Kind() string { return "user.delete" }

func (c DeleteUser) apply(s State, a applied) (State, error) {
	u, ok := s.User(c.Name)
	if !ok {
		return s, fmt.Errorf("user %s: %w; samara user list shows them", c.Name, ErrNotFound)
	}
	told := UserChange{Name: u.Name, Action: "delete", Role: u.Role}
	for _, one := range u.Certificates {
		told.Revoked = append(told.Revoked, one.Serial)
	}
	s.people = s.people.drop([]byte(u.Name))
	s = s.dropEnded(a.at)
	s.told = &told
	return s, nil
}
