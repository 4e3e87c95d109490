package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A Client asks a controller, or whichever of several answers. Its methods may be called from any goroutine; their
// errors wrap the sentinels of package fleet and of this one where a controller refused, ErrNoAnswer where none was
// reached, and ErrUncertain where a change may have been made all the same. A change is repeated with one id, so that it
// is made once however often it is asked for; only a cluster of format 1 knows no ids, and may answer a repetition that
// what was to be added exists already.
type Client struct {
	// Consistency is what reads promise; "" is Default. It is set before the first request.
	Consistency Consistency

	targets []target
	last    atomic.Int64 // which target answered last
	http    *http.Client
}

// A target is where one controller is looked for.
type target struct {
	base string // of URLs
	at   string // for people
}

// ErrNoAnswer means that no controller could be reached, or that it went silent in the middle.
var ErrNoAnswer = errors.New("no answer")

// connectTimeout bounds what comes before a request: to connect, and to agree on TLS.
const connectTimeout = 3 * time.Second

// NewSocketClient returns a client of the controller that serves a Unix socket.
func NewSocketClient(path string) *Client {
	var d net.Dialer
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", path)
	}}
	return newClient(t, target{"http://samara", path})
}

// NewClient returns a client of the controllers at addresses, each a host and a port; at least one. They must show a
// certificate of the authority that has the pin; the client shows its own. The one that answered last is asked first.
func NewClient(addresses []string, pin string, certificate func() (*tls.Certificate, error)) *Client {
	targets := make([]target, len(addresses))
	for i, a := range addresses {
		targets[i] = target{"https://" + a, a}
	}
	return newClient(pinnedTransport(pin, certificate), targets...)
}

// pinnedTransport returns a transport that speaks to controllers of one cluster alone.
func pinnedTransport(pin string, certificate func() (*tls.Certificate, error)) *http.Transport {
	d := net.Dialer{Timeout: connectTimeout}
	return &http.Transport{
		DialContext:         d.DialContext,
		TLSClientConfig:     identity.ClientConfig(pin, certificate, []string{"http/1.1"}, time.Now),
		TLSHandshakeTimeout: connectTimeout,
	}
}

func newClient(t *http.Transport, targets ...target) *Client {
	t.DisableCompression = true
	t.MaxIdleConns = 2 * len(targets)
	t.IdleConnTimeout = 30 * time.Second
	return &Client{targets: targets, http: &http.Client{Transport: t, CheckRedirect: neverRedirect}}
}

// neverRedirect is for http.Client.CheckRedirect: a controller never redirects.
func neverRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// maxAnswer bounds an answer but that of a stream: 10,000 nodes are 4 MB.
const maxAnswer = 256 << 20

// ChangeOptions say how a change is asked for. The zero value changes without a word.
type ChangeOptions struct {
	DryRun bool   // say what would change, and change nothing
	Why    string // for the audit record
	// If holds what must be so when the change is made; otherwise the error is fleet.ErrConflict.
	If []fleet.Condition
	// RequestID names the change: asked for again with one id, it is made once. "" is a fresh id.
	RequestID string
}

func (o ChangeOptions) query() url.Values {
	q := url.Values{}
	if o.DryRun {
		q.Set(dryRunParam, "1")
	}
	if o.Why != "" {
		q.Set(whyParam, o.Why)
	}
	for _, c := range o.If {
		q.Add(ifParam, c.String())
	}
	return q
}

// call asks an endpoint. values fill the pattern's wildcards, in order.
func call[Req, Res any](ctx context.Context, c *Client, e endpoint[Req, Res], body Req, query url.Values, values ...string) (Res, error) {
	q, err := newQuestion(e, body, query, values)
	if err != nil {
		var answer Res
		return answer, err
	}
	return ask[Res](ctx, c, q)
}

// read asks an endpoint that only tells. It is asked of another controller if one fails to answer.
func read[Res any](ctx context.Context, c *Client, e endpoint[none, Res], values ...string) (Res, error) {
	return readWith(ctx, c, e, url.Values{}, values...)
}

// readWith is read with parameters of its own.
func readWith[Res any](ctx context.Context, c *Client, e endpoint[none, Res], query url.Values, values ...string) (Res, error) {
	if c.Consistency != "" && e.reads == chosen {
		query.Set(consistencyParam, string(c.Consistency))
	}
	q, err := newQuestion(e, none{}, query, values)
	if err != nil {
		var answer Res
		return answer, err
	}
	q.again = repeatOnce
	return ask[Res](ctx, c, q)
}

// change asks an endpoint that changes something, under one id, until the outcome is known.
func change[Req, Res any](ctx context.Context, c *Client, e endpoint[Req, Res], body Req, o ChangeOptions, values ...string) (Res, error) {
	return changeWith(ctx, c, e, body, o, o.query(), values...)
}

// changeWith is change with parameters of its own.
func changeWith[Req, Res any](ctx context.Context, c *Client, e endpoint[Req, Res], body Req, o ChangeOptions, query url.Values, values ...string) (Res, error) {
	q, err := newQuestion(e, body, query, values)
	if err != nil {
		var answer Res
		return answer, err
	}
	q.again, q.id = repeatUntilKnown, o.RequestID
	if q.id == "" {
		q.id = NewRequestID()
	}
	return ask[Res](ctx, c, q)
}

func newQuestion[Req, Res any](e endpoint[Req, Res], body Req, query url.Values, values []string) (question, error) {
	q := question{method: e.method, path: fill(e.pattern, values) + encodeQuery(query)}
	if _, empty := any(body).(none); !empty {
		b, err := json.Marshal(body)
		if err != nil {
			return question{}, fmt.Errorf("encode request: %w", err)
		}
		q.kind, q.body = jsonType, b
	}
	return q, nil
}

// ask sends q and decodes the answer.
func ask[Res any](ctx context.Context, c *Client, q question) (Res, error) {
	var answer Res
	resp, at, err := c.send(ctx, q)
	if err != nil {
		return answer, err
	}
	defer func() { _ = resp.Body.Close() }()
	if t, ok := any(&answer).(*torrentFile); ok {
		*t, err = io.ReadAll(resp.Body)
		return answer, err
	}
	// Fields that a newer controller adds are left out.
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return answer, fmt.Errorf("answer of %s: %w", at, err)
	}
	return answer, nil
}

// refusalOf returns the error that an answer which is no success holds, and closes its body.
func refusalOf(ctx context.Context, at string, resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, fleet.MaxAgentRequest))
	if err != nil {
		return lost(ctx, at, err)
	}
	var refused errorBody
	if err := json.Unmarshal(b, &refused); err != nil || refused.Code == "" {
		return fmt.Errorf("%s answers %s, not like a controller", at, resp.Status)
	}
	told := refused.asError()
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		told.wait = time.Duration(seconds) * time.Second
	}
	return told
}

// lost says that there was no answer and why.
func lost(ctx context.Context, at string, err error) error {
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w from %s: %w", ErrNoAnswer, at, err)
}

// fill puts values in the place of a pattern's wildcards.
func fill(pattern string, values []string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") && len(values) > 0 {
			parts[i] = url.PathEscape(values[0])
			values = values[1:]
		}
	}
	return strings.Join(parts, "/")
}

func encodeQuery(query url.Values) string {
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}
