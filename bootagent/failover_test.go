package bootagent

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A cable connects the agent with a controller until it is cut or the controller is.
type cable struct {
	listener *net.TCPListener
	to       netip.AddrPort
	parts    sync.WaitGroup

	mu     sync.Mutex
	conns  []*net.TCPConn
	silent bool
	cut    chan struct{}
}

// newCable returns the cable to a controller, and the address of its near end.
func newCable(t *testing.T, to netip.AddrPort) (*cable, netip.AddrPort) {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to, cut: make(chan struct{})}
	c.parts.Go(c.accept)
	t.Cleanup(func() {
		c.reset()
		c.parts.Wait()
	})
	return c, l.Addr().(*net.TCPAddr).AddrPort()
}

func (c *cable) accept() {
	for {
		near, err := c.listener.AcceptTCP()
		if err != nil {
			return
		}
		far, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(c.to))
		if err != nil {
			_ = near.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, near, far)
		c.mu.Unlock()
		c.parts.Go(func() { c.carry(near, far) })
		c.parts.Go(func() { c.carry(far, near) })
	}
}

// carry moves bytes until one end closes, or for ever moves none once the cable is silent.
func (c *cable) carry(from, to *net.TCPConn) {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		c.mu.Lock()
		silent := c.silent
		c.mu.Unlock()
		if silent {
			<-c.cut
			return
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// silence makes the cable swallow what is sent from now on, as when a controller loses its power.
func (c *cable) silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = true
}

// reset ends all connections at once and takes no more, as when a controller's process is killed.
func (c *cable) reset() {
	_ = c.listener.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
	select {
	case <-c.cut:
	default:
		close(c.cut)
	}
}

// A head is a controller that a test can fail in several ways.
type head struct {
	*cable
	near  netip.AddrPort
	calls atomic.Int32 // that reached it
	busy  atomic.Bool
	heard func() // called when it has read a request, and before it answers; nil for nothing
}

func (l *lab) head(answer func(path string, body []byte) any) *head {
	h := &head{}
	far := l.controller(l.issue(identity.RoleController, time.Now()), func(w http.ResponseWriter, r *http.Request) {
		h.calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		if h.heard != nil {
			h.heard()
		}
		if h.busy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(answer(r.URL.Path, body))
	})
	h.cable, h.near = newCable(l.t, far)
	return h
}

// failures are the ways in which a controller fails the agents that use it.
func failures() map[string]func(*head) {
	return map[string]func(*head){
		"killed":     func(h *head) { h.reset() },
		"powerless":  func(h *head) { h.silence() },
		"overloaded": func(h *head) { h.busy.Store(true) },
	}
}

func TestAgentGoesOnWhenAControllerFails(t *testing.T) {
	paths := []string{fleet.AgentEnrollPath, fleet.AgentReportPath, fleet.AgentRenewPath}
	echo := func(path string, _ []byte) any { return map[string]string{"path": path} }
	for name, fail := range failures() {
		for _, path := range paths {
			for when, before := range map[string]bool{"before a call": true, "within a call": false} {
				t.Run(name+" "+when+" "+path, func(t *testing.T) {
					t.Parallel()
					l := newLab(t)
					first, second := l.head(echo), l.head(echo)
					s := l.session(first.near, second.near)
					var got struct{ Path string }
					if err := s.call(t.Context(), path, struct{}{}, &got); err != nil || first.calls.Load() != 1 || second.calls.Load() != 0 {
						t.Fatalf("while all is well: %v, %d and %d calls", err, first.calls.Load(), second.calls.Load())
					}
					if before {
						fail(first)
					} else {
						first.heard = func() { fail(first) }
					}
					begin := time.Now()
					got.Path = ""
					if err := s.call(t.Context(), path, struct{}{}, &got); err != nil || got.Path != path {
						t.Fatalf("got %q, %v", got.Path, err)
					}
					if took := time.Since(begin); took > stagger+3*time.Second {
						t.Errorf("took %s", took)
					}
					if s.controllers[0] != second.near {
						t.Errorf("the controller that failed is asked first again: %v", s.controllers)
					}
				})
			}
		}
	}
}

// A controller may have spent a boot token when it dies with its answer: the next one knows the key it was spent with.
func TestEnrollmentThatWasLostIsMadeAgainWithTheSameKey(t *testing.T) {
	l := newLab(t)
	requests := make(chan fleet.EnrollRequest, 2)
	enroll := func(_ string, body []byte) any {
		var r fleet.EnrollRequest
		_ = json.Unmarshal(body, &r)
		requests <- r
		return fleet.EnrollAnswer{Certificate: []byte("c")}
	}
	first, second := l.head(enroll), l.head(enroll)
	first.heard = first.reset
	var got fleet.EnrollAnswer
	want := fleet.EnrollRequest{Token: "t", CSR: []byte("csr")}
	if err := l.session(first.near, second.near).call(t.Context(), fleet.AgentEnrollPath, want, &got); err != nil || string(got.Certificate) != "c" {
		t.Fatalf("got %+v, %v", got, err)
	}
	for range 2 {
		if r := receive(t, requests); r.Token != want.Token || string(r.CSR) != string(want.CSR) {
			t.Errorf("asked with %+v, want %+v", r, want)
		}
	}
}

func TestReportsReachAnotherController(t *testing.T) {
	l := newLab(t)
	reports := [2]chan fleet.Report{make(chan fleet.Report, 8), make(chan fleet.Report, 8)}
	take := func(to chan fleet.Report) func(string, []byte) any {
		return func(_ string, body []byte) any {
			var r fleet.Report
			_ = json.Unmarshal(body, &r)
			to <- r
			return struct{}{}
		}
	}
	first, second := l.head(take(reports[0])), l.head(take(reports[1]))
	ctx, cancel := context.WithCancel(t.Context())
	line := newTimeline()
	line.reach(fleet.PhaseAgent, "")
	r := &reporter{log: quietLog(), session: l.session(first.near, second.near), timeline: line, bootID: "b1", image: &image{}, roster: &roster{}, policy: &policy{}}
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx) }()
	receive(t, reports[0])
	first.silence()
	line.reach(fleet.PhaseNetwork, "")
	for len(receive(t, reports[1]).Phases) != 2 { // the first controller may have had no time to answer
	}
	cancel()
	<-done
}
