package raftstore

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// echo accepts connections and sends back what comes in, until s is closed.
func echo(s *Stream) {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 64)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func TestStreamCarriesBytesBetweenControllersOnly(t *testing.T) {
	ours, theirs := testAuthority(t), testAuthority(t)
	server, err := newTestStream(ours, "")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go echo(server)
	for phrase, c := range map[string]struct {
		authority *authority
		role      string
		alpn      []string
		want      bool
	}{
		"a controller":                              {ours, "controller", []string{ALPN}, true},
		"a node of the same cluster":                {ours, "node", []string{ALPN}, false},
		"a controller of another cluster":           {theirs, "controller", []string{ALPN}, false},
		"a controller that speaks another protocol": {ours, "controller", []string{"http/1.1"}, false},
		"a controller that names no protocol":       {ours, "controller", nil, false},
	} {
		t.Run(phrase, func(t *testing.T) {
			config, err := c.authority.config(c.role)
			if err != nil {
				t.Fatal(err)
			}
			config.RootCAs, config.NextProtos = ours.pool, c.alpn
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", server.Addr().String(), config)
			got := err == nil
			if err == nil {
				defer conn.Close()
				got = talks(t, conn)
			}
			if got != c.want {
				t.Errorf("served: %t, want %t (%v)", got, c.want, err)
			}
		})
	}
}

// talks reports whether what is sent on conn comes back.
func talks(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return false
	}
	b := make([]byte, 5)
	n, err := conn.Read(b)
	return err == nil && string(b[:n]) == "hello"
}

func TestStreamDialRefusesOtherProtocols(t *testing.T) {
	a := testAuthority(t)
	config, err := a.config("controller")
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = nil // a TLS server that knows nothing of ALPN
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := handshaker{l, config}.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	s, err := newTestStream(a, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Dial(raft.ServerAddress(l.Addr().String()), 5*time.Second)
	if err == nil || !strings.Contains(err.Error(), `want "samara-raft/1"`) {
		t.Errorf("Dial: %v, want an error that names the protocol", err)
	}
}

func TestStreamDialGivesUpInTime(t *testing.T) {
	a := testAuthority(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	s, err := newTestStream(a, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if c, err := s.Dial(raft.ServerAddress(mute.Addr().String()), 50*time.Millisecond); err == nil {
		t.Errorf("Dial = %v, want an error", c)
	}
}

func TestStreamCloseEndsConnections(t *testing.T) {
	a := testAuthority(t)
	server, err := newTestStream(a, "")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		echo(server)
	}()
	client, err := newTestStream(a, "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Dial(raft.ServerAddress(server.Addr().String()), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !talks(t, conn) {
		t.Fatal("no echo")
	}
	if err := server.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	<-accepted
	if talks(t, conn) {
		t.Error("the connection outlived the Stream that accepted it")
	}
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := client.Dial(raft.ServerAddress(server.Addr().String()), time.Second); err == nil {
		t.Error("Dial after Close succeeded")
	}
}
