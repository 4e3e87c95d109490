package identity

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSealedSecrets(t *testing.T) {
	key, secret := NewSealKey(), []byte("-----BEGIN EC PRIVATE KEY-----")
	b, err := Seal(key, secret, "ca-key")
	if err != nil {
		t.Fatal(err)
	}
	if !IsSealed(b) || IsSealed(secret) || bytes.Contains(b, secret) {
		t.Errorf("sealed: got %q", b)
	}
	if got, err := Unseal(key, b, "ca-key"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("unsealed: got %q, %v", got, err)
	}
	if got, err := Unseal(key, secret, "ca-key"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("what was never sealed: got %q, %v", got, err)
	}
	torn, flipped := b[:len(sealed)+3], bytes.Clone(b)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		key, b []byte
		about  string
	}{
		"another key":     {NewSealKey(), b, "ca-key"},
		"no key":          {nil, b, "ca-key"},
		"another purpose": {key, b, "mesh-key"},
		"torn":            {key, torn, "ca-key"},
		"flipped":         {key, flipped, "ca-key"},
	} {
		if got, err := Unseal(c.key, c.b, c.about); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: got %q, %v, want %v", name, got, err, ErrSealed)
		}
	}
}

func TestJoinTokens(t *testing.T) {
	token := NewJoinToken(strings.Repeat("ab", 32))
	if got, err := ParseJoinToken(" " + token.Word() + "\n"); err != nil || got != token {
		t.Errorf("got %+v, %v, want %+v", got, err, token)
	}
	if shown := fmt.Sprintf("%v %s", token, token); strings.Contains(shown, token.Secret) {
		t.Errorf("a printed token shows its secret: %s", shown)
	}
	if NewJoinToken(token.Pin).Proof() == token.Proof() {
		t.Error("two tokens have one secret")
	}
	for _, word := range []string{"", "samara-join", token.Word()[1:], token.Word()[:len(token.Word())-1], token.Word() + ".x",
		strings.Replace(token.Word(), token.ID, "../../../etc/pass", 1)} {
		_, err := ParseJoinToken(word)
		if !errors.Is(err, ErrJoinToken) {
			t.Errorf("%q: got %v, want %v", word, err, ErrJoinToken)
		}
		if err != nil && strings.Contains(err.Error(), token.Secret[:8]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}
