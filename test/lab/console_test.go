package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConsoleIsReadable(t *testing.T) {
	for name, c := range map[string]struct {
		given string
		want  []string
	}{
		"colours within a line": {"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh.service\x1b[0m.\r\n", []string{"[  OK  ] Started ssh.service."}},
		"a screen drawn anew":   {"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1)\r\n\x1b[2;1HBooting", []string{"SeaBIOS (version 1)", "Booting"}},
		"a line written over":   {"10 %\r20 %\r\n", []string{"10 %", "20 %"}},
		"nothing to see":        {"\x00\x07\r\n \r\n", nil},
		"bytes of no text":      {"a\xffb\n", []string{"ab"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := printable([]byte(c.given)); !slices.Equal(got, c.want) {
				t.Errorf("printable(%q): got %q, want %q", c.given, got, c.want)
			}
		})
	}
}

func TestExpectGoesOnWhereItMatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console")
	if err := os.WriteFile(path, []byte("n1 login: root\nn1 login: "), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Console{Path: path, ended: func() error { return nil }}
	login := regexp.MustCompile(`(n1) login: `)
	for range 2 {
		if got, err := c.Expect(t.Context(), login); err != nil || !slices.Equal(got, []string{"n1 login: ", "n1"}) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := c.Expect(ctx, login)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "n1 login:") {
		t.Errorf("got %v, want a deadline and the last lines", err)
	}
}

func TestExpectEndsWithTheMachine(t *testing.T) {
	off := errors.New("machine n1 ended: exit status 1")
	c := &Console{Path: filepath.Join(t.TempDir(), "console"), ended: func() error { return off }}
	if _, err := c.Expect(t.Context(), regexp.MustCompile("login")); !errors.Is(err, off) {
		t.Errorf("got %v, want %v", err, off)
	}
}
