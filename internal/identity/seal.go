package identity

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
)

// SealKeyLength is the length of a seal key in bytes: AES-256.
const SealKeyLength = 32

// sealed stands before what Seal returns. No PEM begins like this.
var sealed = []byte("samara-sealed-1\x00")

// ErrSealed means that a sealed secret cannot be opened with this controller's seal key.
var ErrSealed = errors.New("cannot be unsealed")

// NewSealKey returns a fresh key for Seal.
func NewSealKey() []byte {
	key := make([]byte, SealKeyLength)
	_, _ = rand.Read(key) // never fails since Go 1.24
	return key
}

// Seal encrypts a secret for the replicated state: who has the state and not the key, which each controller keeps in a
// file of its own, has not the secret. about names what it is, such as "ca-key", and must be the same for Unseal.
func Seal(key, secret []byte, about string) ([]byte, error) {
	aead, err := sealCipher(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	out := append(bytes.Clone(sealed), nonce...)
	return aead.Seal(out, nonce, secret, []byte(about)), nil
}

// IsSealed reports whether b is something that Seal returned.
func IsSealed(b []byte) bool { return bytes.HasPrefix(b, sealed) }

// Unseal returns what Seal encrypted. What is not sealed is returned as it is: clusters of the first release keep their
// secrets so until they are upgraded. Its errors wrap ErrSealed.
func Unseal(key, b []byte, about string) ([]byte, error) {
	if !IsSealed(b) {
		return b, nil
	}
	aead, err := sealCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%s %w: %w", about, ErrSealed, err)
	}
	b = b[len(sealed):]
	if len(b) < aead.NonceSize() {
		return nil, fmt.Errorf("%s %w: it is torn", about, ErrSealed)
	}
	secret, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], []byte(about))
	if err != nil {
		return nil, fmt.Errorf("%s %w: keys/seal.key is not this cluster's; copy it from another controller", about, ErrSealed)
	}
	return secret, nil
}

func sealCipher(key []byte) (cipher.AEAD, error) {
	if len(key) != SealKeyLength {
		return nil, fmt.Errorf("seal key: %d bytes, want %d", len(key), SealKeyLength)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	return cipher.NewGCM(block)
}
