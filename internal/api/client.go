package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A Client asks a controller. Its methods may be called from any goroutine; their errors wrap the sentinels of package
// fleet and of this one where the controller refused, and ErrNoAnswer where none was reached. Contexts are the only
// deadlines.
type Client struct {
	base string
	http *http.Client
	at   string // for people: where the controller was looked for
}

// ErrNoAnswer means that no controller could be reached, or that it went silent in the middle.
var ErrNoAnswer = errors.New("no answer")

// NewSocketClient returns a client of the controller that serves a Unix socket.
func NewSocketClient(path string) *Client {
	var d net.Dialer
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", path)
	}}
	return newClient("http://samara", path, t)
}

// NewClient returns a client of the controller at address, a host and a port. The controller must show a certificate
// of the authority that has the pin; the client shows its own.
func NewClient(address, pin string, certificate func() (*tls.Certificate, error)) *Client {
	d := net.Dialer{Timeout: 10 * time.Second}
	t := &http.Transport{
		DialContext:         d.DialContext,
		TLSClientConfig:     identity.ClientConfig(pin, certificate, []string{"http/1.1"}, time.Now),
		TLSHandshakeTimeout: 10 * time.Second,
	}
	return newClient("https://"+address, address, t)
}

func newClient(base, at string, t *http.Transport) *Client {
	t.DisableCompression = true
	t.MaxIdleConns = 2
	t.IdleConnTimeout = 30 * time.Second
	return &Client{base: base, at: at, http: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a controller never redirects
	}}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// maxAnswer bounds an answer but that of an import: 10,000 nodes are 4 MB.
const maxAnswer = 256 << 20

// ChangeOptions say how a change is asked for. The zero value changes without a word.
type ChangeOptions struct {
	DryRun bool   // say what would change, and change nothing
	Why    string // for the audit record
}

func (o ChangeOptions) query() url.Values {
	q := url.Values{}
	if o.DryRun {
		q.Set(dryRunParam, "1")
	}
	if o.Why != "" {
		q.Set(whyParam, o.Why)
	}
	return q
}

// call asks an endpoint. values fill the pattern's wildcards, in order.
func call[Req, Res any](ctx context.Context, c *Client, e endpoint[Req, Res], body Req, query url.Values, values ...string) (Res, error) {
	var answer Res
	var in io.Reader
	if _, empty := any(body).(none); !empty {
		b, err := json.Marshal(body)
		if err != nil {
			return answer, fmt.Errorf("encode request: %w", err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, e.method, c.base+fill(e.pattern, values)+question(query), in)
	if err != nil {
		return answer, err
	}
	if in != nil {
		r.Header.Set("Content-Type", jsonType)
	}
	resp, err := c.do(r)
	if err != nil {
		return answer, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer, c.lost(ctx, err)
	case len(b) > maxAnswer:
		return answer, fmt.Errorf("%s answers with more than %d bytes", c.at, maxAnswer)
	}
	if t, ok := any(&answer).(*torrentFile); ok {
		*t = b
		return answer, nil
	}
	// Fields that a newer controller adds are left out.
	if err := json.Unmarshal(b, &answer); err != nil {
		return answer, fmt.Errorf("answer of %s: %w", c.at, err)
	}
	return answer, nil
}

// do sends a request and returns its answer, which is a success.
func (c *Client) do(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.lost(r.Context(), err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, fleet.MaxAgentRequest))
	if err != nil {
		return nil, c.lost(r.Context(), err)
	}
	var refused errorBody
	if err := json.Unmarshal(b, &refused); err != nil || refused.Code == "" {
		return nil, fmt.Errorf("%s answers %s, not like a controller", c.at, resp.Status)
	}
	return nil, refused.asError()
}

// lost says that there was no answer and why.
func (c *Client) lost(ctx context.Context, err error) error {
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w from %s: %w", ErrNoAnswer, c.at, err)
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

func question(query url.Values) string {
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}
