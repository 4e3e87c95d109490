package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A JoinToken lets one machine become a controller. It names the cluster's authority, so that whoever types it is
// sure to speak to that cluster, and holds a secret of which the state keeps only the hash.
type JoinToken struct {
	Pin    string // of the cluster's authority; see Pin
	ID     string // under which the state knows the token: 16 hexadecimal digits
	Secret string // 32 hexadecimal digits
}

const joinPrefix = "samara-join"

// ErrJoinToken means that a word is no join token.
var ErrJoinToken = errors.New("not a join token")

// NewJoinToken makes a token for the cluster whose authority has that pin.
func NewJoinToken(pin string) JoinToken {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails since Go 1.24
	return JoinToken{Pin: pin, ID: NewBootID(), Secret: hex.EncodeToString(secret[:])}
}

// Word returns the token as people pass it on: one word without blanks.
func (t JoinToken) Word() string {
	return strings.Join([]string{joinPrefix, t.Pin, t.ID, t.Secret}, ".")
}

// String hides the secret.
func (t JoinToken) String() string { return "join token " + t.ID }

// Proof returns what the state keeps of the secret.
func (t JoinToken) Proof() fleet.Digest { return sha256.Sum256([]byte(t.Secret)) }

// ParseJoinToken reads a Word. Its errors wrap ErrJoinToken and do not repeat the word.
func ParseJoinToken(word string) (JoinToken, error) {
	parts := strings.Split(strings.TrimSpace(word), ".")
	if len(parts) != 4 || parts[0] != joinPrefix {
		return JoinToken{}, fmt.Errorf("%w: want the word that samara controller token prints, %s.….….…", ErrJoinToken, joinPrefix)
	}
	for i, digits := range map[int]int{1: 64, 2: 16, 3: 32} {
		if len(parts[i]) != digits || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return JoinToken{}, fmt.Errorf("%w: part %d of 4 is not %d hexadecimal digits; was it cut off when it was copied?", ErrJoinToken, i+1, digits)
		}
	}
	return JoinToken{Pin: parts[1], ID: parts[2], Secret: parts[3]}, nil
}

// KeyDigest returns the SHA-256 of the public key (PKIX DER) in a certificate request, which it checks.
func KeyDigest(csr []byte) (fleet.Digest, error) {
	key, err := RequestKey(csr)
	if err != nil {
		return fleet.Digest{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return fleet.Digest{}, fmt.Errorf("certificate request: %w", err)
	}
	return sha256.Sum256(der), nil
}
