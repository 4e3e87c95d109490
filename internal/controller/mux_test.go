package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/samara-hpc/samara/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(forgottenFuture)) }

// forgottenFuture is where a goroutine stays that asked a Raft which was then shut down (see DESIGN.md of raftstore).
const forgottenFuture = "github.com/hashicorp/raft.(*deferError).Error"

// testPort runs a portMux for the protocols a and b on loopback, and returns it with its address and client settings.
func testPort(t *testing.T) (*portMux, string, *tls.Config) {
	t.Helper()
	ca, caKey, err := identity.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := identity.ParseAuthority(ca, caKey)
	if err != nil {
		t.Fatal(err)
	}
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := authority.Issue(identity.Subject{Role: identity.RoleController, Name: "head1"}, key.Public(), nil, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	server, err := identity.ServerConfig(ca, func() (*tls.Certificate, error) { return &pair, nil }, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	pin, err := identity.Pin(ca)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := newPortMux(l, server, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the port ended with %v", err)
		}
	})
	return m, l.Addr().String(), identity.ClientConfig(pin, nil, nil, time.Now)
}

func TestOnePortServesSeveralProtocols(t *testing.T) {
	m, address, client := testPort(t)
	for _, p := range []string{"a", "b"} {
		go func() {
			for {
				c, err := m.listener(p).Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, p)
				_ = c.Close()
			}
		}()
	}
	for asked, want := range map[string][]string{"a": {"a"}, "b": {"b"}, "a by default": nil} {
		c := client.Clone()
		c.NextProtos = want
		conn, err := tls.Dial("tcp", address, c)
		if err != nil {
			t.Fatalf("%s: %v", asked, err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != asked[:1] {
			t.Errorf("%s: reached %q, %v", asked, got, err)
		}
		_ = conn.Close()
	}
	c := client.Clone()
	c.NextProtos = []string{"c"}
	if conn, err := tls.Dial("tcp", address, c); err == nil {
		_ = conn.Close()
		t.Error("a protocol that is not served was agreed on")
	}
}

func TestSilentConnectionsHoldUpNobody(t *testing.T) {
	m, address, client := testPort(t)
	for range 20 { // they never begin a handshake
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	accepted := make(chan error, 1)
	go func() {
		c, err := m.listener("a").Accept()
		if err == nil {
			_ = c.Close()
		}
		accepted <- err
	}()
	c := client.Clone()
	c.NextProtos = []string{"a"}
	conn, err := tls.Dial("tcp", address, c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	_ = m.listener("b").Close()
	if _, err := m.listener("b").Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v, want net.ErrClosed", err)
	}
}
