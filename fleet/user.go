package fleet

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// A User is a person, or a program that acts for one, who asks controllers from afar. Users are no configuration: an export
// does not have them, and a rollback brings none of them back.
type User struct {
	Name         string        `json:"name"`
	Role         UserRole      `json:"role"`
	Certificates []Certificate `json:"certificates"` // that were not taken back, in the order they were issued; at least one
}

// A UserRole is what a user may do.
type UserRole string

// The roles of users. Each may do what those below it may.
const (
	UserAdmin    UserRole = "admin"
	UserOperator UserRole = "operator"
	UserViewer   UserRole = "viewer"
)

// A Certificate lets whoever holds its key ask as a user, until it ends or is taken back.
type Certificate struct {
	Serial  string    `json:"serial"` // in hexadecimal: lower case, no zeros before it
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by"` // who asked for it, as Entry.Who has it
}

// OwnAdmin is the name of the identity that is made with a cluster. No user has it.
const OwnAdmin = "admin"

// Limits on users. What they come to is 3 MB at most in each snapshot.
const (
	MaxUsers        = 1000
	MaxCertificates = 16 // of one user
)

// maxSerial is how many hexadecimal digits a serial number has at most: those of 20 octets (RFC 5280, 4.1.2.2).
const maxSerial = 40

// User returns the user with that name. Certificates of theirs may have ended.
func (s State) User(name string) (User, bool) { return found(s.people, name) }

// Users yields all users, by name.
func (s State) Users() iter.Seq[User] { return values(s.people) }

// Certificate returns the user's certificate with that serial number, be it over or not; false if it was taken back.
func (u User) Certificate(serial string) (Certificate, bool) {
	at := slices.IndexFunc(u.Certificates, func(c Certificate) bool { return c.Serial == serial })
	if at < 0 {
		return Certificate{}, false
	}
	return u.Certificates[at], true
}

// InForce returns u with the certificates that have not ended by a time; false if there is none.
func (u User) InForce(now time.Time) (User, bool) {
	u.Certificates = slices.DeleteFunc(slices.Clone(u.Certificates), func(c Certificate) bool { return !now.Before(c.Expires) })
	return u, len(u.Certificates) > 0
}

// CheckUserName reports why s cannot name a user.
func CheckUserName(s string) error {
	if err := CheckName("user", s); err != nil {
		return err
	}
	if s == OwnAdmin {
		return fmt.Errorf("%w user name %q: the cluster's own identity has it; choose the name of a person", ErrInvalid, s)
	}
	return nil
}

// CheckUserRole reports why no user with that name can have a role.
func CheckUserRole(name string, role UserRole) error {
	switch role {
	case UserAdmin, UserOperator, UserViewer:
		return nil
	}
	return fmt.Errorf("%w role %.40q of user %s: want viewer, operator or admin", ErrInvalid, role, name)
}

func checkSerial(s string) error {
	digit := func(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' }
	if s == "" || len(s) > maxSerial || s[0] == '0' || strings.ContainsFunc(s, func(r rune) bool { return !digit(r) }) {
		return fmt.Errorf("%w serial number %.80q: want 1 to %d hexadecimal digits, in lower case", ErrInvalid, s, maxSerial)
	}
	return nil
}

// dropEnded forgets certificates that ended before a time, and users who have no other.
func (s State) dropEnded(now time.Time) State {
	for u := range s.Users() {
		switch left, some := u.InForce(now); {
		case !some:
			s.people = s.people.drop([]byte(u.Name))
		case len(left.Certificates) < len(u.Certificates):
			s.people = s.people.put([]byte(u.Name), &left)
		}
	}
	return s
}
