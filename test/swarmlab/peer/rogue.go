package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/seeder"
)

// How a rogue keeps itself known.
const (
	reportPause = time.Second // between two reports; controllers forget who fetches after several seconds
	dialBound   = 2 * time.Second
	askBound    = 15 * time.Second // for a question to a controller
	maxAnswer   = 4 << 20          // bytes
)

// A rogue is a node that controllers know and name to others, and that does one of the plays to them.
type rogue struct {
	Config
	play
	client *http.Client
	boot   fleet.Manifest
	info   seeder.Info
	hash   seeder.Hash
	blob   *os.File

	mu     sync.Mutex
	calls  map[netip.AddrPort]bool // that it is on, by itself
	active sync.WaitGroup
}

// runRogue enrolls as a node does, reports as one does that holds something, answers whoever calls, and calls whom the
// controllers name. Each report that a controller has taken is told as progress.
func runRogue(ctx context.Context, c Config, say *teller) error {
	play, known := plays[c.Play]
	if !known {
		return fmt.Errorf("configuration: no play %q", c.Play)
	}
	if err := say.ready(ctx); err != nil {
		return err
	}
	r := &rogue{Config: c, play: play, calls: map[netip.AddrPort]bool{}}
	if err := r.enroll(ctx); err != nil {
		return fmt.Errorf("enroll: %w", err)
	}
	var err error
	if r.blob, err = os.Open(c.Blob); err != nil {
		return err
	}
	defer r.blob.Close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", netip.AddrPortFrom(c.Address, r.boot.Ports.Swarm).String())
	if err != nil {
		return err
	}
	defer r.active.Wait()
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	r.active.Go(func() { r.answerCalls(ctx, l) })
	have := r.have()
	return every(ctx, reportPause, func() {
		if answer, err := r.report(ctx, have); err == nil {
			say.tell(Event{Kind: Progress, Have: have})
			r.call(ctx, append(answer.Peers, answer.Origin...))
		}
		if r.aside != nil {
			r.aside(ctx, r)
		}
	})
}

// answerCalls plays to whoever calls, until the port is closed.
func (r *rogue) answerCalls(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r.active.Go(func() { r.perform(ctx, conn) })
	}
}

// enroll trades the boot token for a certificate and a manifest.
func (r *rogue) enroll(ctx context.Context) error {
	key, _, err := identity.NewKey()
	if err != nil {
		return err
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		return err
	}
	certificate := &tls.Certificate{}
	shown := func() (*tls.Certificate, error) { return certificate, nil }
	transport := &http.Transport{TLSClientConfig: identity.ClientConfig(r.Pin, shown, []string{"http/1.1"}, time.Now)}
	r.client = &http.Client{Transport: transport, Timeout: askBound}
	var answer fleet.EnrollAnswer
	if err := r.ask(ctx, fleet.AgentEnrollPath, fleet.EnrollRequest{Token: r.Token, CSR: csr}, &answer); err != nil {
		return err
	}
	transport.CloseIdleConnections() // which showed no certificate
	certificate.PrivateKey = key
	for rest := answer.Certificate; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate.Certificate = append(certificate.Certificate, block.Bytes)
	}
	r.boot = answer.Manifest
	r.hash = seeder.InfoHash(r.boot.Torrent)
	r.info, err = seeder.ParseInfo(r.boot.Torrent)
	return err
}

// have returns how much of the image the rogue tells controllers that it holds.
func (r *rogue) have() int64 {
	if r.whole {
		return r.boot.Root.Size
	}
	return r.boot.Root.Size / 2
}

// report says that the rogue holds that much of its image.
func (r *rogue) report(ctx context.Context, have int64) (fleet.SwarmAnswer, error) {
	var answer fleet.SwarmAnswer
	return answer, r.ask(ctx, fleet.AgentReportPath, fleet.Report{
		BootID: r.boot.BootID,
		Phases: []fleet.PhaseReport{{Phase: fleet.PhaseAgent}, {Phase: fleet.PhaseManifest}},
		Swarm:  fleet.SwarmReport{Blob: r.boot.Root.Digest, Have: have, Complete: r.whole, Peers: 1, Roster: r.boot.Roster.ID},
	}, &answer)
}

// trackers returns where the controllers' trackers are.
func (r *rogue) trackers() []netip.AddrPort {
	var list []netip.AddrPort
	for _, c := range r.boot.Controllers {
		list = append(list, netip.AddrPortFrom(c.Address, c.Ports.Boot))
	}
	return list
}

// ask asks the first controller that answers.
func (r *rogue) ask(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range r.Origins {
		if err := r.post(ctx, fmt.Sprintf("https://%s%s", c, path), body, out); err != nil {
			errs = append(errs, err)
			continue
		}
		return nil
	}
	return errors.Join(errs...)
}

func (r *rogue) post(ctx context.Context, url string, body []byte, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %s %s", url, answer.Status, text)
	}
	return json.Unmarshal(text, out)
}

// call calls whom it does not call already, and plays to them.
func (r *rogue) call(ctx context.Context, peers []netip.AddrPort) {
	for _, a := range peers {
		r.mu.Lock()
		on := r.calls[a]
		r.calls[a] = true
		r.mu.Unlock()
		if on {
			continue
		}
		r.active.Go(func() {
			if r.floods {
				r.flood(ctx, a)
			} else if conn, err := dialFrom(ctx, r.Address, a); err == nil {
				r.perform(ctx, conn)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.calls, a)
		})
	}
}

// dialFrom calls from an address of this machine.
func dialFrom(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: dialBound, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	return d.DialContext(ctx, "tcp4", to.String())
}
