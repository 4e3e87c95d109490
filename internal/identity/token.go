package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A BootToken says that a controller handed a boot script to a machine. It is what the machine shows to become a node.
type BootToken struct {
	Node    string         `json:"n"`
	MAC     fleet.MAC      `json:"m"`
	BootID  string         `json:"b"`
	Image   fleet.ImageRef `json:"i"` // with its version: the root must fit the kernel that the script named
	Expires time.Time      `json:"e"`
}

// TokenLife is how long after its script a machine may enroll. It covers the slow download of a kernel and initramfs
// in a boot storm.
const TokenLife = 15 * time.Minute

// ErrToken means that a boot token is forged, torn, expired or spent.
var ErrToken = errors.New("boot token refused")

// NewBootID returns a fresh id for one boot: 16 hexadecimal digits.
func NewBootID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return fmt.Sprintf("%x", b)
}

// SealToken encrypts t with the cluster's 32-byte token key, so that every controller can check it. The result is safe
// on a kernel's command line.
func SealToken(key []byte, t BootToken) (string, error) {
	aead, err := tokenCipher(key)
	if err != nil {
		return "", err
	}
	t.Expires = t.Expires.UTC().Truncate(time.Second)
	plain, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("seal boot token: %w", err)
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, nil)), nil
}

// OpenToken reads what SealToken wrote and checks that it has not expired. Its errors wrap ErrToken.
func OpenToken(key []byte, token string, now time.Time) (BootToken, error) {
	aead, err := tokenCipher(key)
	if err != nil {
		return BootToken{}, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(sealed) < aead.NonceSize() || len(sealed) > 1024 {
		return BootToken{}, fmt.Errorf("%w: malformed", ErrToken)
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return BootToken{}, fmt.Errorf("%w: not sealed by this cluster", ErrToken)
	}
	var t BootToken
	if err := json.Unmarshal(plain, &t); err != nil {
		return BootToken{}, fmt.Errorf("%w: malformed", ErrToken)
	}
	if now.After(t.Expires) {
		return t, fmt.Errorf("%w: it expired at %s; boot the machine again", ErrToken, t.Expires.Format(time.RFC3339))
	}
	return t, nil
}

func tokenCipher(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return cipher.NewGCM(block)
}

// SpentTokens remembers which key each boot id was enrolled with, until its token has expired. The zero value is
// ready. Its methods may be called from any goroutine.
type SpentTokens struct {
	mu      sync.Mutex
	boots   map[string]spent
	changes uint64 // counts what was spent here
}

type spent struct {
	key     [32]byte
	expires time.Time
	change  uint64 // 0 if another controller said it
}

// A SpentToken says that the token of a boot was spent, for other controllers.
type SpentToken struct {
	BootID  string       `json:"boot_id"`
	Key     fleet.Digest `json:"key"` // SHA-256 of the public key that it is bound to
	Expires time.Time    `json:"expires"`
}

// maxSpent bounds the memory for spent tokens: far more than the boots of the largest cluster within TokenLife.
const maxSpent = 200_000

// Spend binds t to a public key (PKIX DER). The same key may come again, so that a lost answer can be asked for again;
// another key is refused with ErrToken.
func (s *SpentTokens) Spend(t BootToken, publicKey []byte, now time.Time) error {
	key := sha256.Sum256(publicKey)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boots == nil {
		s.boots = map[string]spent{}
	}
	if len(s.boots) >= maxSpent {
		for id, b := range s.boots {
			if now.After(b.expires) {
				delete(s.boots, id)
			}
		}
		if len(s.boots) >= maxSpent {
			return fmt.Errorf("%w: %d machines enrolled within %s; try again later", ErrToken, maxSpent, TokenLife)
		}
	}
	b, ok := s.boots[t.BootID]
	switch {
	case ok && b.key != key:
		return fmt.Errorf("%w: another machine has used it; boot this one again", ErrToken)
	case ok:
		return nil
	}
	s.changes++
	s.boots[t.BootID] = spent{key, t.Expires, s.changes}
	return nil
}

// Since returns what was spent here after the change numbered after, and the number of the last change.
func (s *SpentTokens) Since(after uint64) ([]SpentToken, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after == s.changes {
		return nil, after
	}
	var out []SpentToken
	for id, b := range s.boots {
		if b.change > after {
			out = append(out, SpentToken{id, b.key, b.expires})
		}
	}
	return out, s.changes
}

// Learn takes note of tokens that were spent at other controllers. What was spent here stays bound as it is.
func (s *SpentTokens) Learn(tokens []SpentToken, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boots == nil {
		s.boots = map[string]spent{}
	}
	for _, t := range tokens {
		// What expires later than any token of ours can is no token.
		if _, have := s.boots[t.BootID]; have || len(s.boots) >= maxSpent || now.After(t.Expires) || t.Expires.After(now.Add(2*TokenLife)) {
			continue
		}
		s.boots[t.BootID] = spent{key: t.Key, expires: t.Expires}
	}
}
