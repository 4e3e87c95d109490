package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"github.com/samara-hpc/samara/fleet"
)

// ErrRevoked means that a user's certificate is not, or no longer, one of the state.
var ErrRevoked = errors.New("taken back")

// OwnAdmin returns the identity that is made with a cluster and renewed by the controller on whose disk it lies. It is as
// good as root there, and no user of the state: no controller can take it back.
func OwnAdmin() Subject { return Subject{RoleAdmin, fleet.OwnAdmin} }

// IssueUser returns a PEM chain, as Issue does, for a certificate of the state: of its serial number, and for its time.
func (a *Authority) IssueUser(u fleet.User, c fleet.Certificate, public crypto.PublicKey) ([]byte, error) {
	serial, ok := new(big.Int).SetString(c.Serial, 16)
	if !ok {
		return nil, fmt.Errorf("issue certificate for user %s: serial number %q is not hexadecimal", u.Name, c.Serial)
	}
	subject := Subject{Role(u.Role), u.Name}
	return a.sign(subject, newLeaf(subject, serial, c.Issued, c.Expires), public)
}

// Serial returns a certificate's serial number, in the form of fleet.Certificate.
func Serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// UserSerial returns the serial number of the certificate that a request asks for: the same one however often, and of
// whichever controller, it asks with that id and that key.
func UserSerial(id string, key *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("key of a certificate request: %w", err)
	}
	sum := sha256.New()
	for _, part := range [][]byte{[]byte("user certificate"), []byte(id), der} {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part) // a hash takes everything
	}
	n := new(big.Int).SetBytes(sum.Sum(nil)[:serialSize])
	return n.SetBit(n, 8*serialSize-1, 1).Text(16), nil
}
