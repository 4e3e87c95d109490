package ipxe

import (
	"fmt"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

func isWordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// checkWord reports why iPXE would not hand a on to the kernel as one word, unchanged.
func checkWord(a string) error {
	for i, r := range a {
		if r <= ' ' || r > '~' || r == '$' || r == '\\' {
			return fmt.Errorf("%w kernel argument %q: iPXE cannot pass on %q at position %d", fleet.ErrInvalid, a, r, i+1)
		}
	}
	if a == "" || a[0] == '#' || a == "||" || a == "&&" || a == ";" {
		return fmt.Errorf("%w kernel argument %q: it ends a command in iPXE", fleet.ErrInvalid, a)
	}
	return nil
}

// text makes a message harmless as the arguments of echo: printable ASCII, without what iPXE would expand, take for
// the end of the command, or take for an option. It is at most 300 bytes, a few lines of a screen.
func text(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r > '~', strings.ContainsRune("${}\\|&#", r):
			return '_'
		}
		return r
	}, s)
	words := strings.Fields(s[:min(len(s), 300)])
	for i, w := range words {
		if w == ";" {
			words[i] = ","
		}
	}
	if len(words) > 0 && words[0][0] == '-' {
		words[0] = "_" + words[0][1:]
	}
	return strings.Join(words, " ")
}
