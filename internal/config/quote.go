package config

import (
	"fmt"
	"strings"
)

// quote returns a scalar of YAML that is that text to any reader, of YAML 1.1 or 1.2: as it is if that is safe, else in
// double quotes.
func quote(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r <= 0xa0:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isPlain reports whether s can stand without quotes.
func isPlain(s string) bool {
	if s == "" || len(s) > 200 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && !isDigit(c) && strings.IndexByte("_-./+=,@:~%() ", c) < 0 {
			return false
		}
		if (c == ':' || c == ' ') && (i+1 == len(s) || s[i+1] == ' ') {
			return false
		}
	}
	switch c := s[0]; {
	case isLetter(c):
		return !isWord(strings.ToLower(s))
	case c == '/', c == '_':
		return len(s) > 1
	case c == '~':
		return len(s) > 1 && isLetter(s[1])
	case isDigit(c):
		return strings.Count(s, ".") > 1 && !strings.Contains(s, ":")
	}
	return false
}

// isWord reports whether some reader of YAML takes s for something else than text.
func isWord(s string) bool {
	switch s {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return true
	}
	return false
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
