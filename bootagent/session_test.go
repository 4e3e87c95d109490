package bootagent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A lab is a cluster's authority and the controllers that a test starts.
type lab struct {
	t   *testing.T
	ca  *identity.Authority
	pem []byte
	pin string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return newLabAt(t, time.Now())
}

// newLabAt returns a cluster that began at a time.
func newLabAt(t *testing.T, begin time.Time) *lab {
	t.Helper()
	certPEM, keyPEM, err := identity.NewAuthority("lab", begin)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.ParseAuthority(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := identity.Pin(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t, ca, certPEM, pin}
}

// issue returns a chain and its key.
func (l *lab) issue(role identity.Role, now time.Time) tls.Certificate {
	l.t.Helper()
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		l.t.Fatal(err)
	}
	chain, err := l.ca.Issue(identity.Subject{Role: role, Name: "x1"}, key.Public(), nil, now, identity.NodeLife)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := tls.X509KeyPair(chain, keyPEM)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// controller starts an HTTPS server as a controller, or a pretended one, is.
func (l *lab) controller(certificate tls.Certificate, h http.HandlerFunc) netip.AddrPort {
	l.t.Helper()
	s := httptest.NewUnstartedServer(h)
	config, err := identity.ServerConfig(l.pem, func() (*tls.Certificate, error) { return &certificate, nil }, []string{"http/1.1"})
	if err != nil {
		l.t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{certificate} // else httptest puts its own here
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	l.t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func (l *lab) session(controllers ...netip.AddrPort) *session {
	s := newSession(controllers, l.pin)
	l.t.Cleanup(s.close)
	return s
}

func answerWith(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
}

func refuseWith(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":"x","error":%q}`, text)
	}
}

// nobody returns an address where nothing listens.
func nobody(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestSessionFindsTheControllerThatAnswers(t *testing.T) {
	l := newLab(t)
	overloaded := l.controller(l.issue(identity.RoleController, time.Now()), refuseWith(http.StatusServiceUnavailable, "busy"))
	good := l.controller(l.issue(identity.RoleController, time.Now()), answerWith(fleet.SwarmAnswer{Interval: 7}))
	s := l.session(nobody(t), overloaded, good)
	var got fleet.SwarmAnswer
	if err := s.call(t.Context(), fleet.AgentReportPath, fleet.Report{}, &got); err != nil || got.Interval != 7 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if s.controllers[0] != good {
		t.Errorf("the controller that answered is not asked first: %v", s.controllers)
	}
}

func TestSessionDoesNotWaitForAHungController(t *testing.T) {
	l := newLab(t)
	hung := l.controller(l.issue(identity.RoleController, time.Now()), func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the caller has gone
		<-r.Context().Done()
	})
	good := l.controller(l.issue(identity.RoleController, time.Now()), answerWith(fleet.SwarmAnswer{}))
	begin := time.Now()
	if err := l.session(hung, good).call(t.Context(), "/", struct{}{}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > callTimeout/2 {
		t.Errorf("took %s although another controller was ready after %s", took, stagger)
	}
}

func TestSessionSaysWhyNobodyAnswers(t *testing.T) {
	l := newLab(t)
	dead := nobody(t)
	foreign := newLab(t)
	other := l.controller(foreign.issue(identity.RoleController, time.Now()), answerWith(struct{}{}))
	node := l.controller(l.issue(identity.RoleNode, time.Now()), answerWith(struct{}{}))
	expired := l.controller(l.issue(identity.RoleController, time.Now().Add(-48*time.Hour)), answerWith(struct{}{}))
	err := l.session(dead, other, node, expired).call(t.Context(), "/", struct{}{}, &struct{}{})
	if err == nil {
		t.Fatal("an answer came from somewhere")
	}
	for _, want := range []string{dead.String() + ": connect: connection refused", "belongs to another cluster", "this machine's clock says"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the reason has several lines: %q", err)
	}
}

func TestSessionTrustsACertificateFromTheFuture(t *testing.T) {
	l := newLab(t)
	c := l.controller(l.issue(identity.RoleController, time.Now().Add(72*time.Hour)), answerWith(struct{}{}))
	if err := l.session(c).call(t.Context(), "/", struct{}{}, &struct{}{}); err != nil {
		t.Errorf("a machine whose clock lags is locked out: %v", err)
	}
}

func TestRefusalOfOneControllerIsNotTheLastWord(t *testing.T) {
	l := newLab(t)
	no := l.controller(l.issue(identity.RoleController, time.Now()), refuseWith(http.StatusForbidden, "boot token refused: it expired"))
	yes := l.controller(l.issue(identity.RoleController, time.Now()), answerWith(fleet.EnrollAnswer{Certificate: []byte("c")}))
	s := l.session(no, yes)
	var got fleet.EnrollAnswer
	if err := s.call(t.Context(), fleet.AgentEnrollPath, fleet.EnrollRequest{}, &got); err != nil || string(got.Certificate) != "c" {
		t.Errorf("got %+v, %v", got, err)
	}
	if s.controllers[0] != yes {
		t.Errorf("the controller that refused is asked first again: %v", s.controllers)
	}
}

func TestRefusalCountsBeforeSilence(t *testing.T) {
	l := newLab(t)
	no := l.controller(l.issue(identity.RoleController, time.Now()), refuseWith(http.StatusForbidden, "boot token refused: it expired"))
	busy := l.controller(l.issue(identity.RoleController, time.Now()), refuseWith(http.StatusServiceUnavailable, "busy"))
	for _, s := range []*session{l.session(no, nobody(t), busy), l.session(busy, nobody(t), no)} {
		err := s.call(t.Context(), fleet.AgentEnrollPath, fleet.EnrollRequest{}, &fleet.EnrollAnswer{})
		var r *refusal
		if !errors.As(err, &r) || r.Status != http.StatusForbidden || r.Code != "x" || !strings.Contains(err.Error(), "it expired") {
			t.Errorf("got %v", err)
		}
	}
}

func TestSessionBoundsTheAnswer(t *testing.T) {
	l := newLab(t)
	c := l.controller(l.issue(identity.RoleController, time.Now()), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, fleet.MaxAgentAnswer+1))
	})
	err := l.session(c).call(t.Context(), "/", struct{}{}, &struct{}{})
	if err == nil || !strings.Contains(err.Error(), "answer of more than") {
		t.Errorf("got %v", err)
	}
}

// A connection of before the enrollment must not be used after it: the controller would not know who asks.
func TestSessionShowsItsNewCertificate(t *testing.T) {
	l := newLab(t)
	c := l.controller(l.issue(identity.RoleController, time.Now()), func(w http.ResponseWriter, r *http.Request) {
		who, err := identity.PeerSubject(r.TLS)
		_ = json.NewEncoder(w).Encode(fmt.Sprint(who, " ", err != nil))
	})
	s := l.session(c)
	var before, after string
	if err := s.call(t.Context(), "/", struct{}{}, &before); err != nil {
		t.Fatal(err)
	}
	node := l.issue(identity.RoleNode, time.Now())
	s.use(&node)
	if err := s.call(t.Context(), "/", struct{}{}, &after); err != nil {
		t.Fatal(err)
	}
	if before != "/ true" || after != "node/x1 false" {
		t.Errorf("known as %q, then as %q", before, after)
	}
}

func TestSessionLearnsControllers(t *testing.T) {
	named := func(addresses ...string) (list []fleet.Controller) {
		for _, a := range addresses {
			list = append(list, fleet.Controller{Address: netip.MustParseAddr(a), Ports: fleet.DefaultPorts})
		}
		return list
	}
	for name, c := range map[string]struct {
		named []fleet.Controller
		want  string
	}{
		"one more":             {named("10.0.0.2", "10.0.0.1"), "[10.0.0.1:7600 10.0.0.2:7600]"},
		"one replaced":         {named("10.0.0.3"), "[10.0.0.3:7600]"},
		"the same":             {named("10.0.0.1"), "[10.0.0.1:7600]"},
		"one twice":            {named("10.0.0.2", "10.0.0.2"), "[10.0.0.2:7600]"},
		"none":                 {nil, "[10.0.0.1:7600]"},
		"none that has a port": {[]fleet.Controller{{Address: netip.MustParseAddr("10.0.0.2")}, {}}, "[10.0.0.1:7600]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession([]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:7600")}, "")
			s.learn(c.named)
			if got := fmt.Sprint(s.controllers); got != c.want {
				t.Errorf("controllers %s, want %s", got, c.want)
			}
		})
	}
}

func TestReporterAsksForPeersAndKeepsReporting(t *testing.T) {
	l := newLab(t)
	reports := make(chan fleet.Report, 8)
	c := l.controller(l.issue(identity.RoleController, time.Now()), func(w http.ResponseWriter, r *http.Request) {
		var got fleet.Report
		_ = json.NewDecoder(r.Body).Decode(&got)
		reports <- got
		_, _ = w.Write([]byte("{}"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	line := newTimeline()
	line.reach(fleet.PhaseAgent, "")
	r := &reporter{log: quietLog(), session: l.session(c), timeline: line, bootID: "b1", image: &image{}, roster: &roster{}, policy: &policy{}}
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx) }()
	first := receive(t, reports)
	line.fail("enroll: no") // a change is reported at once, not after reportEvery
	for receive(t, reports).Failure != "enroll: no" {
	}
	cancel()
	<-done
	if first.BootID != "b1" || len(first.Phases) != 1 || first.Phases[0].Phase != fleet.PhaseAgent {
		t.Errorf("first report %+v", first)
	}
}

// receive returns the next value, and ends the test if none comes.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within 10 s")
		panic("unreachable")
	}
}
