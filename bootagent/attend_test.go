package bootagent

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/seeder"
)

// A brain answers agents as a controller does.
type brain struct {
	l        *lab
	manifest fleet.Manifest
	answer   atomic.Pointer[fleet.SwarmAnswer]
	reports  chan fleet.Report
	blob     http.Handler // behind fleet.AgentBlobPath; nil answers 404
}

// newBrain starts a controller with a node for every token, all booting content.
func newBrain(t *testing.T, content string) (*brain, netip.AddrPort) {
	t.Helper()
	b := &brain{l: newLab(t), manifest: manifestFor(t, content), reports: make(chan fleet.Report, 1024)}
	b.answer.Store(&fleet.SwarmAnswer{})
	at := b.l.controller(b.l.issue(identity.RoleController, time.Now()), b.serve)
	b.manifest.Controllers = []fleet.Controller{{ID: "c1", Address: at.Addr(), Ports: fleet.Ports{Control: at.Port(), Gossip: 7601}}}
	return b, at
}

func (b *brain) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == fleet.AgentEnrollPath:
		var in fleet.EnrollRequest
		_ = json.NewDecoder(r.Body).Decode(&in)
		request, err := x509.ParseCertificateRequest(in.CSR)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		chain, err := b.l.ca.Issue(identity.Subject{Role: identity.RoleNode, Name: b.manifest.Node}, request.PublicKey, nil, time.Now(), identity.NodeLife)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(fleet.EnrollAnswer{Certificate: chain, Manifest: b.manifest})
	case r.URL.Path == fleet.AgentReportPath:
		var report fleet.Report
		_ = json.NewDecoder(r.Body).Decode(&report)
		select {
		case b.reports <- report:
		default:
		}
		_ = json.NewEncoder(w).Encode(b.answer.Load())
	case strings.HasPrefix(r.URL.Path, fleet.AgentBlobPath) && b.blob != nil:
		b.blob.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// attend attends b's swarm at an address of the loopback until the test ends or stop is called.
func attend(t *testing.T, b *brain, controller netip.AddrPort, address string) (dir string, complete <-chan seeder.Progress, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	dir = t.TempDir()
	done, ended := make(chan seeder.Progress, 1), make(chan error, 1)
	go func() {
		ended <- Attend(ctx, quietLog(), Attendance{
			Controllers: []netip.AddrPort{controller}, Pin: b.l.pin, Token: "token", Address: netip.MustParseAddr(address), Dir: dir,
			Complete: func(p seeder.Progress) { done <- p },
		})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Attend: %v", err)
		}
	}
	t.Cleanup(stop)
	return dir, done, stop
}

func TestAttendFetchesAndSeedsAsANodeDoes(t *testing.T) {
	content := strings.Repeat("samara ", 200_000)
	b, at := newBrain(t, content)
	b.manifest.Ports = fleet.Ports{Swarm: 17602, Gossip: 17601}
	origin := offering(t, b.manifest, content)
	b.answer.Store(&fleet.SwarmAnswer{Origin: []netip.AddrPort{origin.Addr()}, Interval: 500 * time.Millisecond})
	dir, complete, stop := attend(t, b, at, "127.0.0.61")
	if p := receive(t, complete); p.Have != int64(len(content)) {
		t.Errorf("completed with %+v", p)
	}
	if got, err := os.ReadFile(filepath.Join(dir, b.manifest.Root.Digest.String()+".squashfs")); err != nil || string(got) != content {
		t.Errorf("the file holds %d bytes, %v", len(got), err)
	}
	for r := receive(t, b.reports); !r.Swarm.Complete || r.Phases[len(r.Phases)-1].Phase != fleet.PhaseVerified; r = receive(t, b.reports) {
	}

	// The next node has the first one alone.
	origin.Close()
	b.answer.Store(&fleet.SwarmAnswer{Peers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.61:17602")}, Interval: 500 * time.Millisecond})
	_, complete, stopSecond := attend(t, b, at, "127.0.0.62")
	if p := receive(t, complete); p.FromPeers != int64(len(content)) || p.FromOrigin != 0 {
		t.Errorf("the second completed with %+v", p)
	}
	stopSecond()
	stop()
}

// A node that is not to reseed keeps its image, and says that it gives nothing on.
func TestAttendKeepsWhatItIsNotToGiveOn(t *testing.T) {
	content := strings.Repeat("samara ", 200_000)
	b, at := newBrain(t, content)
	b.manifest.Ports, b.manifest.Reseed = fleet.Ports{Swarm: 17602, Gossip: 17601}, fleet.ReseedNever
	origin := offering(t, b.manifest, content)
	b.answer.Store(&fleet.SwarmAnswer{Origin: []netip.AddrPort{origin.Addr()}, Interval: 500 * time.Millisecond, Reseed: fleet.ReseedNever})
	dir, complete, stop := attend(t, b, at, "127.0.0.63")
	receive(t, complete)
	r := receive(t, b.reports)
	for ; !r.Swarm.Ended; r = receive(t, b.reports) {
		if r.Swarm.Paused != "" {
			t.Errorf("paused by %q before its end", r.Swarm.Paused)
		}
	}
	if !r.Swarm.Complete || r.Swarm.Paused != "reseed is never" || r.Failure != "" {
		t.Errorf("reported %+v", r)
	}
	if got, err := os.ReadFile(filepath.Join(dir, b.manifest.Root.Digest.String()+".squashfs")); err != nil || string(got) != content {
		t.Errorf("the file holds %d bytes, %v", len(got), err)
	}
	stop()
}

func TestAttendEndsWhenItsTokenIsRefused(t *testing.T) {
	l := newLab(t)
	at := l.controller(l.issue(identity.RoleController, time.Now()), refuseWith(http.StatusForbidden, "spent"))
	a := Attendance{Controllers: []netip.AddrPort{at}, Pin: l.pin, Token: "t", Address: at.Addr(), Dir: t.TempDir()}
	if err := Attend(t.Context(), quietLog(), a); err == nil || !strings.Contains(err.Error(), "spent") {
		t.Errorf("got %v", err)
	}
	a.Address = netip.Addr{}
	if err := Attend(t.Context(), quietLog(), a); err == nil || !strings.Contains(err.Error(), "IPv4") {
		t.Errorf("without an address: %v", err)
	}
}
