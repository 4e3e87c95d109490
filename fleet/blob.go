package fleet

import (
	"encoding/hex"
	"fmt"
)

// A Digest is a SHA-256 sum. It is the name of a blob. The zero value means "none".
type Digest [32]byte

// ParseDigest reads 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if n, err := hex.Decode(d[:], []byte(s)); err != nil || n != len(d) || len(s) != 2*len(d) || d.String() != s {
		return Digest{}, fmt.Errorf("%w digest %q: want 64 lower-case hexadecimal digits", ErrInvalid, s)
	}
	return d, nil
}

// String returns 64 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 hexadecimal digits, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText writes the form of String, or nothing for the zero value.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads what ParseDigest reads, and "" as the zero value.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	got, err := ParseDigest(string(b))
	*d = got
	return err
}

// A Blob is a reference to immutable bytes: their SHA-256 and their length.
type Blob struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// IsZero reports whether b refers to nothing.
func (b Blob) IsZero() bool { return b.Digest.IsZero() }

func (b Blob) check(what string) error {
	if b.Digest.IsZero() || b.Size <= 0 {
		return fmt.Errorf("%w %s: a blob needs a digest and a size", ErrInvalid, what)
	}
	return nil
}
