package fleet

import (
	"fmt"
	"strings"
)

// CheckName reports why s cannot name a node, image or network: names are DNS labels (RFC 1123, 2.1) in lower case,
// at most 63 bytes, so that they are safe in host names, URLs, file names and scripts.
func CheckName(kind, s string) error {
	if s == "" || len(s) > 63 {
		return fmt.Errorf("%w %s name %q: want 1 to 63 characters", ErrInvalid, kind, s)
	}
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		case r == '-' && i > 0 && i < len(s)-1:
		default:
			return fmt.Errorf("%w %s name %q: %q at position %d; want lower-case letters, digits and inner hyphens", ErrInvalid, kind, s, r, i+1)
		}
	}
	return nil
}

// CheckLabel reports why s cannot name a profile, an overlay, a tag or a resource, which appear in URLs, file names and
// scripts, but not in host names: want letters, digits, and between them hyphens, underscores and dots, at most 63 bytes.
func CheckLabel(kind, s string) error {
	if s == "" || len(s) > 63 {
		return fmt.Errorf("%w %s name %.80q: want 1 to 63 characters", ErrInvalid, kind, s)
	}
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case strings.ContainsRune("-_.", r) && i > 0 && i < len(s)-1:
		default:
			return fmt.Errorf("%w %s name %q: %q at position %d; want letters, digits and inner hyphens, underscores and dots", ErrInvalid, kind, s, r, i+1)
		}
	}
	return nil
}

// CheckDomain reports why s cannot be a DNS domain. The empty domain is allowed.
func CheckDomain(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > 200 {
		return fmt.Errorf("%w domain %q: longer than 200 characters", ErrInvalid, s)
	}
	for label := range strings.SplitSeq(s, ".") {
		if err := CheckName("domain", label); err != nil {
			return fmt.Errorf("domain %q: %w", s, err)
		}
	}
	return nil
}

// checkText refuses what could leave the line or the word that s is put into: control characters and other
// unprintable runes, and text over max bytes.
func checkText(what, s string, max int) error {
	if len(s) > max {
		return fmt.Errorf("%w %s: longer than %d characters", ErrInvalid, what, max)
	}
	for i, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffd || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 {
			return fmt.Errorf("%w %s %q: control character at position %d", ErrInvalid, what, s, i+1)
		}
	}
	return nil
}
