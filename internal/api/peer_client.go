package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A PeerClient is how one controller asks another. Its methods may be called from any goroutine; their errors wrap the
// sentinels of package fleet and of this one where the other refused, and ErrNoAnswer where it did not answer. Contexts
// are the only deadlines, but of Hello and Observed.
type PeerClient struct {
	at      string
	calls   *http.Client // short questions, as many at a time as there are clients
	streams *http.Client // what may take long, and Hello, which must not wait for calls
}

// How a PeerClient uses connections.
const (
	peerCalls    = 64               // connections for calls: more would only queue at the other end
	peerIdle     = 2 * time.Minute  // that an unused connection is kept, less than the server does
	helloTimeout = time.Second      // for an answer to Hello
	peerObserve  = 25 * time.Second // for an answer to Observed, which waits up to ten seconds
)

// NewPeerClient returns a client of the controller at address, a host and a port. The other must show a certificate of
// the authority that has the pin, for a controller, and if wantID is not "" for the one of that id. The client shows its
// own. It connects when it is first used.
func NewPeerClient(address, pin string, certificate func() (*tls.Certificate, error), wantID string) *PeerClient {
	newHTTP := func(most, idle int) *http.Client {
		t := pinnedTransport(pin, certificate)
		t.TLSClientConfig.VerifyConnection = checkID(t.TLSClientConfig.VerifyConnection, wantID)
		t.DisableCompression = true
		t.MaxConnsPerHost = most
		t.MaxIdleConnsPerHost = idle
		t.IdleConnTimeout = peerIdle - 10*time.Second
		return &http.Client{Transport: t, CheckRedirect: neverRedirect}
	}
	return &PeerClient{at: address, calls: newHTTP(peerCalls, peerCalls), streams: newHTTP(0, 4)}
}

// Demand adds to what the other's certificate must be. It is for before the client is used.
func (c *PeerClient) Demand(check func(*x509.Certificate) error) {
	for _, h := range []*http.Client{c.calls, c.streams} {
		config := h.Transport.(*http.Transport).TLSClientConfig
		before := config.VerifyConnection
		config.VerifyConnection = func(s tls.ConnectionState) error {
			if err := before(s); err != nil {
				return err
			}
			return check(s.PeerCertificates[0])
		}
	}
}

// checkID adds to a check of the other side's certificate that it is the controller with that id; "" is any.
func checkID(check func(tls.ConnectionState) error, id string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if err := check(s); err != nil || id == "" {
			return err
		}
		subject, err := identity.CertSubject(s.PeerCertificates[0])
		if err == nil && subject.Name != id {
			err = fmt.Errorf("%w: the controller there is %s, not %s", identity.ErrNotTrusted, subject.Name, id)
		}
		return err
	}
}

// Address returns where the client asks.
func (c *PeerClient) Address() string { return c.at }

// Close drops idle connections. Calls under way go on.
func (c *PeerClient) Close() {
	c.calls.CloseIdleConnections()
	c.streams.CloseIdleConnections()
}

// Hello returns how the other controller is, within a second.
func (c *PeerClient) Hello(ctx context.Context) (Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	return askPeer(ctx, c, c.streams, peerHello, nil)
}

// Propose has the other controller, the leader, commit an encoded entry. ErrNotLeader means that nothing was done, and
// so does ErrNoAnswer without ErrUncertain; after ErrUncertain the entry may still commit.
func (c *PeerClient) Propose(ctx context.Context, entry []byte) (fleet.Revision, error) {
	answer, err := askPeerWith(ctx, c, c.calls, peerPropose, peerCall{peerPropose.pattern, octetType, entry, true})
	return answer.Revision, err
}

// ReadIndex returns the revision up to which a replica must have applied to read with that consistency. The error wraps
// ErrNotLeader if the other does not lead.
func (c *PeerClient) ReadIndex(ctx context.Context, consistency Consistency) (fleet.Revision, error) {
	answer, err := askPeer(ctx, c, c.calls, peerRead, ReadRequest{consistency})
	return answer.Revision, err
}

// Transfer has the other controller hand its leadership to a third; to any that is fit if to is "".
func (c *PeerClient) Transfer(ctx context.Context, to string) error {
	_, err := askPeer(ctx, c, c.calls, peerTransfer, TransferRequest{To: to})
	return err
}

// Observed returns what the other controller saw after the mark of an earlier answer. It waits for something to tell.
func (c *PeerClient) Observed(ctx context.Context, after string) (Observations, error) {
	ctx, cancel := context.WithTimeout(ctx, peerObserve)
	defer cancel()
	return askPeerWith(ctx, c, c.streams, peerObserved, peerCall{path: peerObserved.pattern + encodeQuery(url.Values{afterParam: {after}})})
}

// Pull has the other controller fetch blobs, and calls progress for each line that it sends. When ctx ends, the other
// gives up.
func (c *PeerClient) Pull(ctx context.Context, r PullRequest, progress func(Progress)) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(pullSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	resp, err := c.do(ctx, c.streams, peerPull.method, peerCall{peerPull.pattern, jsonType, body, false})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return eachLine(ctx, resp, c.at, "transfer", func(line pullLine) (bool, error) {
		silence.Reset(pullSilence)
		switch {
		case line.Error != nil:
			return true, line.Error.asError()
		case line.Progress != nil:
			progress(*line.Progress)
		}
		return line.Done, nil
	})
}

// pullSilence is how long a Pull bears that nothing is told of it.
const pullSilence = 6 * heartbeatEvery

// Blob opens a blob that the other controller holds, and returns its size. The caller checks what it reads against the
// digest, and closes it. The error wraps fleet.ErrNotFound if the other holds none.
func (c *PeerClient) Blob(ctx context.Context, d fleet.Digest) (io.ReadCloser, int64, error) {
	resp, err := c.do(ctx, c.streams, peerBlob.method, peerCall{path: fill(peerBlob.pattern, []string{d.String()})})
	if err != nil {
		return nil, 0, err
	}
	if resp.ContentLength < 0 {
		_ = resp.Body.Close()
		return nil, 0, fmt.Errorf("blob %s: %s does not say how long it is", d, c.at)
	}
	return resp.Body, resp.ContentLength, nil
}

// A peerCall is one question to another controller.
type peerCall struct {
	path    string // with its query
	kind    string // of body; "" if there is none
	body    []byte
	changes bool // something: it matters whether it was heard
}

// askPeer asks an endpoint with a body of JSON; nil is none.
func askPeer[Req, Res any](ctx context.Context, c *PeerClient, over *http.Client, e endpoint[Req, Res], body any) (Res, error) {
	call := peerCall{path: e.pattern}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			var answer Res
			return answer, fmt.Errorf("encode request: %w", err)
		}
		call.kind, call.body = jsonType, b
	}
	return askPeerWith(ctx, c, over, e, call)
}

func askPeerWith[Req, Res any](ctx context.Context, c *PeerClient, over *http.Client, e endpoint[Req, Res], call peerCall) (Res, error) {
	var answer Res
	resp, err := c.do(ctx, over, e.method, call)
	if err != nil {
		return answer, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPeerAnswer+1))
	if err == nil && len(b) > maxPeerAnswer {
		err = fmt.Errorf("more than %d bytes", maxPeerAnswer)
	}
	if err != nil {
		return answer, call.doubt(lost(ctx, c.at, err))
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return answer, fmt.Errorf("answer of %s: %w", c.at, err)
	}
	return answer, nil
}

// maxPeerAnswer bounds an answer of another controller, in bytes: what it saw of 10,000 machines.
const maxPeerAnswer = 64 << 20

// doubt says that what was asked may have been done, if it is something that is done.
func (q peerCall) doubt(err error) error {
	if !q.changes {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

// do asks the other controller and returns its answer, which is a success.
func (c *PeerClient) do(ctx context.Context, over *http.Client, method string, q peerCall) (*http.Response, error) {
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	r, err := http.NewRequestWithContext(traced, method, "https://"+c.at+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	if q.kind != "" {
		r.Header.Set("Content-Type", q.kind)
	}
	resp, err := over.Do(r)
	switch {
	case err != nil && connected.Load() && !rejected(err):
		return nil, q.doubt(lost(ctx, c.at, err))
	case err != nil:
		return nil, lost(ctx, c.at, err)
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	}
	err = refusalOf(ctx, c.at, resp)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoAnswer) {
		err = q.doubt(err)
	}
	return nil, err
}
