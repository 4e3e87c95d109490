package lab

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// A Console is what a machine has written to its serial console. Expect is for one goroutine at a time.
type Console struct {
	Path  string       // the log that QEMU keeps of it
	seen  int64        // how much of it Expect has consumed
	ended func() error // why there will be no more; nil while the machine runs
}

// Expect waits until what the machine wrote since the last match fits pattern, and returns the match with its groups.
// The error says what the machine wrote last, if ctx ends first or the machine is off.
func (c *Console) Expect(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	var found []string
	err := poll(ctx, 100*time.Millisecond, func() (bool, error) {
		b, err := c.unread()
		if err != nil {
			return false, err
		}
		if at := pattern.FindSubmatchIndex(b); at != nil {
			for i := 0; i < len(at); i += 2 {
				found = append(found, string(b[max(at[i], 0):max(at[i+1], 0)]))
			}
			c.seen += int64(at[1])
			return true, nil
		}
		return false, c.ended()
	})
	if err != nil {
		return nil, fmt.Errorf("console %s: wait for %q: %w; its last lines:\n%s", c.Path, pattern, err, c.Tail(30))
	}
	return found, nil
}

// unread returns what Expect has not consumed. A console that does not exist yet is empty.
func (c *Console) unread() ([]byte, error) {
	b, err := os.ReadFile(c.Path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	return b[min(c.seen, int64(len(b))):], err
}

// Tail returns the last n lines that are not empty, without control characters.
func (c *Console) Tail(n int) string { return tail(c.Path, n) }

// LastLine returns the last line that is not empty, without control characters; "" if there is none.
func (c *Console) LastLine() string {
	b, _ := os.ReadFile(c.Path)
	lines := printable(b)
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// Terminal control sequences (ECMA-48). Moves go elsewhere on the screen, which begins another line; the others, such
// as colours, stand within one.
var (
	moves   = regexp.MustCompile(`\x1b(\[[0-9;]*[A-HJf]|c)`)
	escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-_=>78])`)
)

// printable returns the lines of b that have something to read.
func printable(b []byte) []string {
	var lines []string
	text := string(escapes.ReplaceAll(moves.ReplaceAll(b, []byte("\n")), nil))
	text = strings.ReplaceAll(text, "\r", "\n")
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == '\uFFFD' {
				return -1
			}
			return r
		}, line)
		if line = strings.TrimRight(line, " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
