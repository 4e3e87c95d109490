package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

type cluster struct {
	ca   []byte
	pin  string
	auth *Authority
}

func newCluster(t *testing.T, name string) cluster {
	t.Helper()
	ca, key, err := NewAuthority(name, noon)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := ParseAuthority(ca, key)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := Pin(ca)
	if err != nil {
		t.Fatal(err)
	}
	return cluster{ca, pin, auth}
}

func (c cluster) certificate(t *testing.T, s Subject, at time.Time, life time.Duration) func() (*tls.Certificate, error) {
	t.Helper()
	key, keyPEM, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := c.auth.Issue(s, key.Public(), []netip.Addr{netip.MustParseAddr("10.1.0.1")}, at, life)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*tls.Certificate, error) { return &pair, nil }
}

// shake does one handshake over a pipe and returns what the server knows of the client, and both sides' errors.
func shake(server, client *tls.Config) (seen tls.ConnectionState, serverErr, clientErr error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	s := tls.Server(a, server)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x")) // in TLS 1.3 a client learns with the first bytes that its certificate was refused
		}
		if err != nil {
			_ = a.Close()
		}
		done <- err
	}()
	c := tls.Client(b, client)
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	_ = b.Close()
	serverErr = <-done
	return s.ConnectionState(), serverErr, clientErr
}

func TestWhoMaySpeakToWhom(t *testing.T) {
	ours, foreign := newCluster(t, "ours"), newCluster(t, "foreign")
	head := Subject{RoleController, "head1"}
	at := func(when time.Time) func() time.Time { return func() time.Time { return when } }
	for what, c := range map[string]struct {
		server, client func() (*tls.Certificate, error)
		now            time.Time
		ok             bool
		text           string
	}{
		"a node and its controller":          {ours.certificate(t, head, noon, time.Hour), ours.certificate(t, Subject{RoleNode, "n1"}, time.Now(), time.Hour), noon, true, ""},
		"a machine without a certificate":    {ours.certificate(t, head, noon, time.Hour), nil, noon, true, ""},
		"a machine without a clock":          {ours.certificate(t, head, noon, time.Hour), nil, time.Time{}, true, ""},
		"a foreign controller":               {foreign.certificate(t, head, noon, time.Hour), nil, noon, false, "another cluster"},
		"a controller that expired":          {ours.certificate(t, head, noon, time.Hour), nil, noon.Add(2 * time.Hour), false, "expired"},
		"a node that poses as a controller":  {ours.certificate(t, Subject{RoleNode, "n1"}, noon, time.Hour), nil, noon, false, "key usage"},
		"a client of a foreign cluster":      {ours.certificate(t, head, noon, time.Hour), foreign.certificate(t, Subject{RoleAdmin, "eve"}, time.Now(), time.Hour), noon, false, ""},
		"a client whose certificate expired": {ours.certificate(t, head, noon, time.Hour), ours.certificate(t, Subject{RoleAdmin, "eve"}, time.Now().Add(-48*time.Hour), time.Hour), noon, false, ""},
	} {
		t.Run(what, func(t *testing.T) {
			server, err := ServerConfig(ours.ca, c.server, []string{"http/1.1"})
			if err != nil {
				t.Fatal(err)
			}
			_, serverErr, clientErr := shake(server, ClientConfig(ours.pin, c.client, []string{"http/1.1"}, at(c.now)))
			if ok := serverErr == nil && clientErr == nil; ok != c.ok {
				t.Fatalf("server %v, client %v; want success %v", serverErr, clientErr, c.ok)
			}
			if c.text != "" && !strings.Contains(clientErr.Error(), c.text) {
				t.Errorf("the client says %q, want it to say %q", clientErr, c.text)
			}
		})
	}
}

func TestTheServerKnowsItsClient(t *testing.T) {
	ours := newCluster(t, "ours")
	server, err := ServerConfig(ours.ca, ours.certificate(t, Subject{RoleController, "head1"}, noon, time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	want := Subject{RoleNode, "n7"}
	state, _, _ := shake(server, ClientConfig(ours.pin, ours.certificate(t, want, time.Now(), time.Hour), nil, now))
	if got, err := PeerSubject(&state); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	state, _, _ = shake(server, ClientConfig(ours.pin, nil, nil, now))
	if _, err := PeerSubject(&state); !errors.Is(err, ErrNotTrusted) {
		t.Errorf("without a certificate: %v, want ErrNotTrusted", err)
	}
	if _, err := CertSubject(&x509.Certificate{}); !errors.Is(err, ErrNotTrusted) {
		t.Errorf("a certificate without a subject of ours: %v, want ErrNotTrusted", err)
	}
}

func TestWhichRolesPeopleHave(t *testing.T) {
	for role, want := range map[Role]bool{RoleAdmin: true, RoleOperator: true, RoleViewer: true, RoleController: false, RoleNode: false, "": false, "king": false} {
		if got := role.IsPerson(); got != want {
			t.Errorf("role %q is a person's: %t, want %t", role, got, want)
		}
	}
}

func TestRequestsAreChecked(t *testing.T) {
	key, _, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := RequestKey(csr); err != nil || !got.Equal(key.Public()) {
		t.Errorf("the key of a request: %v, %v", got, err)
	}
	csr[len(csr)-1] ^= 1
	if _, err := RequestKey(csr); err == nil {
		t.Error("a request with a broken signature was accepted")
	}
}

func TestBootTokens(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	token := BootToken{Node: "n1", MAC: fleet.MAC{2, 0, 0, 0, 0, 1}, BootID: NewBootID(), Image: fleet.ImageRef{Name: "debian", Version: 3}, Expires: noon.Add(TokenLife)}
	sealed, err := SealToken(key, token)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) > 400 || strings.ContainsAny(sealed, " +/=\"'") {
		t.Errorf("a token of %d characters does not fit a kernel's command line: %s", len(sealed), sealed)
	}
	if got, err := OpenToken(key, sealed, noon); err != nil || got != token {
		t.Errorf("got %+v, %v; want %+v", got, err, token)
	}
	for what, try := range map[string]struct {
		key   string
		token string
		now   time.Time
	}{
		"expired":         {string(key), sealed, noon.Add(TokenLife + time.Second)},
		"another cluster": {strings.Repeat("x", 32), sealed, noon},
		"torn":            {string(key), sealed[:len(sealed)/2], noon},
		"altered":         {string(key), "A" + sealed[1:], noon},
		"nothing":         {string(key), "", noon},
		"not base64":      {string(key), "!!", noon},
	} {
		if _, err := OpenToken([]byte(try.key), try.token, try.now); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v, want ErrToken", what, err)
		}
	}
}

func TestATokenIsSpentByOneKey(t *testing.T) {
	var s SpentTokens
	token := BootToken{BootID: "b1", Expires: noon}
	for i, try := range []struct {
		key string
		ok  bool
	}{{"first", true}, {"first", true}, {"second", false}, {"first", true}} {
		err := s.Spend(token, []byte(try.key), noon)
		if ok := err == nil; ok != try.ok || (err != nil && !errors.Is(err, ErrToken)) {
			t.Errorf("try %d with key %s: %v", i, try.key, err)
		}
	}
}
