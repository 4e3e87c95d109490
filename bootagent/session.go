package bootagent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A session is how the agent speaks to the controllers: to one of them at a time, to another when that one is slow or
// gone. Its methods may be called from any goroutine.
type session struct {
	pin string

	mu          sync.Mutex
	clock       clock
	controllers []netip.AddrPort // the one that answered last stands first
	client      *http.Client
	certificate *tls.Certificate // nil before enrollment
}

// Times of a session. A controller that has not answered within stagger gets competition from the next, so that silence
// costs no more than that. The last has callTimeout.
const (
	stagger     = 2 * time.Second
	callTimeout = 15 * time.Second
	dialTimeout = 5 * time.Second
)

// A refusal is a controller's answer that asking it again will not change.
type refusal struct {
	Status     int
	Code       string `json:"code"`
	Text       string `json:"error"`
	Controller netip.AddrPort
}

func (r *refusal) Error() string {
	text := r.Text
	if text == "" {
		text = http.StatusText(r.Status)
	}
	return fmt.Sprintf("controller %s refuses: %s (%d)", r.Controller, text, r.Status)
}

func newSession(controllers []netip.AddrPort, pin string) *session {
	s := &session{pin: pin, controllers: slices.Clone(controllers)}
	s.client = s.newClient(nil)
	return s
}

// setClock makes the session judge certificates by what a controller said the time is, and by how long ago that was,
// whatever the machine's clock is set to.
func (s *session) setClock(said time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = clock{said: said, at: time.Now()}
}

// now is the time in the cluster, as far as is known.
func (s *session) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock.now()
}

// newClient returns a client with a pool of connections of its own: a connection keeps the certificate that it was
// opened with, so a new certificate needs new connections.
func (s *session) newClient(certificate *tls.Certificate) *http.Client {
	shown := func() (*tls.Certificate, error) {
		if certificate == nil {
			return &tls.Certificate{}, nil // shows none
		}
		return certificate, nil
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        tlsConfig(s.pin, shown, s.now),
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        2 * time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
	}
}

// tlsConfig is identity.ClientConfig for a machine whose clock may be wrong. A clock that is behind the start of a
// controller's certificate is wrong for certain, since the authority has signed that certificate already: then the
// certificate is judged at its own start. A clock that is ahead cannot be told from a certificate that has expired,
// and the controller is refused.
func tlsConfig(pin string, certificate func() (*tls.Certificate, error), now func() time.Time) *tls.Config {
	protocols := []string{"http/1.1"}
	c := identity.ClientConfig(pin, certificate, protocols, now)
	unset := identity.ClientConfig(pin, certificate, protocols, func() time.Time { return time.Time{} })
	strict := c.VerifyConnection
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) > 0 && now().Before(s.PeerCertificates[0].NotBefore) {
			return unset.VerifyConnection(s)
		}
		err := strict(s)
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return fmt.Errorf("%w; this machine's clock says %s", err, now().UTC().Format(time.RFC3339))
		}
		return err
	}
	return c
}

// use makes the session show that certificate from now on.
func (s *session) use(certificate *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client.CloseIdleConnections()
	s.certificate, s.client = certificate, s.newClient(certificate)
}

// learn replaces the controllers that the session knows by those that a controller named, in the order in which it asks
// them already. It keeps what it knows rather than to know none.
func (s *session) learn(controllers []fleet.Controller) {
	var named []netip.AddrPort
	for _, c := range controllers {
		if a := netip.AddrPortFrom(c.Address, c.Ports.Control); a.IsValid() && a.Port() != 0 && !slices.Contains(named, a) {
			named = append(named, a)
		}
	}
	if len(named) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(s.controllers), func(a netip.AddrPort) bool { return !slices.Contains(named, a) })
	added := slices.DeleteFunc(named, func(a netip.AddrPort) bool { return slices.Contains(kept, a) })
	s.controllers = append(kept, added...)
}

func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client.CloseIdleConnections()
}

// call sends in to path at one controller after the other, until one fills out with its answer. That one of them says
// no is not the last word: its clock may be wrong, or its state old. The error is a *refusal if nobody says yes and
// somebody said no, and else says for each controller why it did not answer.
func (s *session) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(body) > fleet.MaxAgentRequest {
		return fmt.Errorf("%s: request of %d bytes, at most %d", path, len(body), fleet.MaxAgentRequest)
	}
	s.mu.Lock()
	controllers, client := slices.Clone(s.controllers), s.client
	s.mu.Unlock()
	if len(controllers) == 0 {
		return fmt.Errorf("%s: no controller is known", path)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout+stagger*time.Duration(len(controllers)-1))
	defer cancel()

	type answer struct {
		from netip.AddrPort
		body []byte
		err  error
	}
	answers := make(chan answer, len(controllers))
	asked, failures := 0, []error(nil)
	ask := func() {
		if asked == len(controllers) {
			return
		}
		c := controllers[asked]
		asked++
		go func() {
			body, err := post(ctx, client, c, path, body)
			answers <- answer{c, body, err}
		}()
	}
	ask()
	next := time.NewTicker(stagger)
	defer next.Stop()
	for len(failures) < len(controllers) {
		select {
		case <-next.C:
			ask()
		case a := <-answers:
			if a.err == nil {
				if a.err = json.Unmarshal(a.body, out); a.err == nil {
					s.prefer(a.from)
					return nil
				}
				a.err = fmt.Errorf("controller %s: %w", a.from, a.err)
			}
			failures = append(failures, a.err)
			ask()
		}
	}
	for _, err := range failures {
		var no *refusal
		if errors.As(err, &no) {
			return no
		}
	}
	return joinErrors(failures)
}

// prefer puts the controller that answered first in the order.
func (s *session) prefer(a netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.controllers, a); i > 0 {
		s.controllers = slices.Insert(slices.Delete(s.controllers, i, i+1), 0, a)
	}
}

// post asks one controller. Statuses from 400 to 499 are refusals, but for those that say "later".
func post(ctx context.Context, client *http.Client, to netip.AddrPort, path string, body []byte) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("controller %s: %w", to, shorten(err)) }
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+to.String()+path, bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return fail(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, fleet.MaxAgentAnswer+1))
	switch {
	case err != nil:
		return fail(err)
	case len(text) > fleet.MaxAgentAnswer:
		return fail(fmt.Errorf("answer of more than %d bytes", fleet.MaxAgentAnswer))
	case answer.StatusCode == http.StatusOK:
		return text, nil
	}
	no := &refusal{Status: answer.StatusCode, Controller: to}
	_ = json.Unmarshal(text, no) // a body that is not ours leaves the status
	no.Text = clip(no.Text)
	if answer.StatusCode < 400 || answer.StatusCode > 499 || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout {
		return fail(fmt.Errorf("status %d: %s", no.Status, no.Text))
	}
	return nil, no
}

// shorten drops what net/http and net say around a reason, such as the method and the address.
func shorten(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var op *net.OpError
	switch {
	case !errors.As(err, &op) || op.Op != "dial":
		return err
	case op.Timeout():
		return errors.New("does not answer")
	default:
		return op.Err
	}
}
