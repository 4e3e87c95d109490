package fleet

import (
	"encoding/hex"
	"fmt"
)

// A MAC is an Ethernet hardware address. The zero value means "none".
type MAC [6]byte

// ParseMAC reads six pairs of hexadecimal digits separated throughout by ":" or "-", or by nothing. It refuses the
// zero address and group addresses (IEEE 802-2014, 8.2.2), which no interface can have as its own.
func ParseMAC(s string) (MAC, error) {
	digits := make([]byte, 0, 12)
	switch {
	case len(s) == 12:
		digits = append(digits, s...)
	case len(s) == 17 && (s[2] == ':' || s[2] == '-'):
		for i := 0; i < len(s); i += 3 {
			if i > 0 && s[i-1] != s[2] {
				return MAC{}, fmt.Errorf("%w MAC address %q: want the form 52:54:00:12:34:56", ErrInvalid, s)
			}
			digits = append(digits, s[i], s[i+1])
		}
	}
	var m MAC
	if n, err := hex.Decode(m[:], digits); err != nil || n != len(m) {
		return MAC{}, fmt.Errorf("%w MAC address %q: want the form 52:54:00:12:34:56", ErrInvalid, s)
	}
	if m == (MAC{}) {
		return MAC{}, fmt.Errorf("%w MAC address %q: all zero", ErrInvalid, s)
	}
	if m[0]&1 != 0 {
		return MAC{}, fmt.Errorf("%w MAC address %q: a group address cannot belong to one machine", ErrInvalid, s)
	}
	return m, nil
}

// String returns the address in lower case with colons, or "" for the zero value.
func (m MAC) String() string {
	if m == (MAC{}) {
		return ""
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText writes the form of String.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what ParseMAC reads, and "" as the zero value.
func (m *MAC) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*m = MAC{}
		return nil
	}
	got, err := ParseMAC(string(b))
	*m = got
	return err
}
