package controller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

var errBroken = errors.New("broken")

// recorded is a part that runs until it is asked to end or made to fail, and takes note of its end.
func recorded(name string, ended *[]string, fail <-chan struct{}) part {
	return part{name, func(ctx context.Context) error {
		defer func() { *ended = append(*ended, name) }()
		select {
		case <-ctx.Done():
			return nil
		case <-fail:
			return errBroken
		}
	}}
}

func TestAStackEndsFromTheTop(t *testing.T) {
	for name, c := range map[string]struct {
		fail string
		want string
		err  string
	}{
		"asked to end":     {"", "services state port", ""},
		"the top fails":    {"services", "services state port", "services: broken"},
		"the middle fails": {"state", "state services port", "state: broken"},
		"the base fails":   {"port", "port services state", "port: broken"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var ended []string
				fail := map[string]chan struct{}{"port": make(chan struct{}), "state": make(chan struct{}), "services": make(chan struct{})}
				done := make(chan error, 1)
				go func() {
					done <- runStack(ctx, []part{
						recorded("port", &ended, fail["port"]), recorded("state", &ended, fail["state"]), recorded("services", &ended, fail["services"]),
					})
				}()
				synctest.Wait()
				if c.fail == "" {
					cancel()
				} else {
					close(fail[c.fail])
				}
				err := <-done
				cancel()
				if got := strings.Join(ended, " "); got != c.want {
					t.Errorf("parts ended in the order %q, want %q", got, c.want)
				}
				if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
					t.Errorf("got error %v, want %q", err, c.err)
				}
			})
		})
	}
}

func TestAPartThatLeavesEarlyHasFailed(t *testing.T) {
	leave := part{"quitter", func(context.Context) error { return nil }}
	stay := part{"base", func(ctx context.Context) error { <-ctx.Done(); return nil }}
	for name, err := range map[string]error{
		"in a row":   runAll(t.Context(), []part{stay, leave}),
		"in a stack": runStack(t.Context(), []part{stay, leave}),
	} {
		if err == nil || err.Error() != "quitter: stopped unasked" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
