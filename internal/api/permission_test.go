package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// whoMay is the table of permissions, written down a second time: a change of one must be a change of both.
var whoMay = map[string]string{
	"GET " + MetricsPath:                  "viewers",
	"GET /v1/status":                      "viewers",
	"GET /v1/cluster":                     "viewers",
	"PATCH /v1/cluster":                   "operators",
	"GET /v1/nodes":                       "viewers",
	"GET /v1/nodes/{node}":                "viewers",
	"GET /v1/nodes/{node}/boots":          "viewers",
	"GET /v1/nodes/{node}/why":            "viewers",
	"GET /v1/why":                         "viewers",
	"GET /v1/profiles":                    "viewers",
	"GET /v1/profiles/{profile}":          "viewers",
	"POST /v1/nodes":                      "operators",
	"PATCH /v1/nodes":                     "operators",
	"POST /v1/nodes/delete":               "operators",
	"GET /v1/unknown":                     "viewers",
	"GET /v1/images":                      "viewers",
	"GET /v1/images/{image}":              "viewers",
	"GET /v1/images/{image}/torrent":      "viewers",
	"GET /v1/images/{image}/swarm":        "viewers",
	"POST /v1/images/{image}/import":      "operators",
	"DELETE /v1/images/{image}":           "operators",
	"GET /v1/networks":                    "viewers",
	"GET /v1/networks/{network}":          "viewers",
	"POST /v1/networks":                   "operators",
	"PUT /v1/networks/{network}":          "operators",
	"DELETE /v1/networks/{network}":       "operators",
	"POST /v1/nodes/discover":             "operators",
	"GET /v1/watch":                       "viewers",
	"GET /v1/nodes/{node}/explain":        "viewers",
	"GET /v1/configuration":               "viewers",
	"POST /v1/configuration":              "operators",
	"GET /v1/history":                     "viewers",
	"GET /v1/difference":                  "viewers",
	"POST /v1/rollback":                   "operators",
	"GET /v1/openapi.json":                "viewers",
	"GET /v1/backup":                      "admins",
	"GET /v1/controllers":                 "viewers",
	"POST /v1/controllers/tokens":         "admins",
	"POST /v1/controllers/join":           "anyone",
	"POST /v1/controllers/transfer":       "admins",
	"DELETE /v1/controllers/{controller}": "admins",
	"GET /v1/users":                       "viewers",
	"POST /v1/users":                      "admins",
	"DELETE /v1/users/{user}":             "admins",
	"GET /v1/peer/hello":                  "controllers",
	"POST /v1/peer/propose":               "controllers",
	"POST /v1/peer/read":                  "controllers",
	"POST /v1/peer/transfer":              "controllers",
	"GET /v1/peer/observed":               "controllers",
	"POST /v1/peer/pull":                  "controllers",
	"GET /v1/peer/blob/{digest}":          "controllers",
	"POST " + fleet.AgentEnrollPath:       "anyone",
	"POST " + fleet.AgentRenewPath:        "nodes",
	"POST " + fleet.AgentReportPath:       "nodes",
	"GET /v1/agent/blob/{digest}":         "nodes",
	"DELETE /v1/cluster":                  "viewers", // not in the table: refused like a route for viewers
	"GET /v1/images/debian/no-such":       "viewers",
	"POST " + "/v1/agent/no-such-thing":   "viewers",
}

func TestEveryRouteHasAPermission(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range New(Config{}).routes() {
		name := r.method + " " + r.pattern
		if seen[name] {
			t.Errorf("%s is bound twice", name)
		}
		seen[name] = true
		if r.allow == nobody {
			t.Errorf("%s has no permission", name)
		}
		if whoMay[name] == "" {
			t.Errorf("%s has no row in the test's table of permissions", name)
		}
		if r.limit == 0 || r.limit == unlimited && r.response != reflect.TypeFor[importLine]() {
			t.Errorf("%s has no limit on its body", name)
		}
		if r.request == nil || r.response == nil || r.serve == nil {
			t.Errorf("%s lacks a request, a response or a handler", name)
		}
	}
}

func TestRoles(t *testing.T) {
	rig := newRig(t)
	roles := map[string]struct {
		client *Client
		may    []string
		denied int
	}{
		"root on the socket":  {rig.local(t), []string{"anyone", "viewers", "operators", "admins"}, http.StatusForbidden},
		"an admin":            {rig.remote(t, identity.Subject{Role: identity.RoleAdmin, Name: "ann"}), []string{"anyone", "viewers", "operators", "admins"}, http.StatusForbidden},
		"an operator":         {rig.remote(t, identity.Subject{Role: identity.RoleOperator, Name: "bob"}), []string{"anyone", "viewers", "operators"}, http.StatusForbidden},
		"a viewer":            {rig.remote(t, identity.Subject{Role: identity.RoleViewer, Name: "eve"}), []string{"anyone", "viewers"}, http.StatusForbidden},
		"a controller":        {rig.remote(t, identity.Subject{Role: identity.RoleController, Name: "head"}), []string{"anyone", "viewers", "operators", "admins", "controllers"}, http.StatusForbidden},
		"a former controller": {rig.remote(t, identity.Subject{Role: identity.RoleController, Name: "head2"}), nil, http.StatusForbidden},
		"a node":              {rig.remote(t, identity.Subject{Role: identity.RoleNode, Name: "n1"}), []string{"anyone", "nodes"}, http.StatusForbidden},
		"a stranger":          {rig.remote(t, identity.Subject{}), []string{"anyone"}, http.StatusUnauthorized},
		"an unknown role":     {rig.remote(t, identity.Subject{Role: "king", Name: "n1"}), nil, http.StatusUnauthorized},
	}
	for who, role := range roles {
		for route, needs := range whoMay {
			status := visit(t, role.client, route)
			admitted := false
			for _, m := range role.may {
				admitted = admitted || m == needs
			}
			if got := status != http.StatusForbidden && status != http.StatusUnauthorized; got != admitted {
				t.Errorf("%s, %s: status %d, admitted %t, want %t", who, route, status, got, admitted)
			}
			if !admitted && status != role.denied {
				t.Errorf("%s, %s: status %d, want %d", who, route, status, role.denied)
			}
		}
	}
}

// visit asks for a route with a body that no handler takes, and returns the answer's status.
func visit(t *testing.T, c *Client, route string) int {
	t.Helper()
	method, pattern, _ := strings.Cut(route, " ")
	path := strings.NewReplacer("{node}", "n1", "{image}", "no-such", "{network}", "no-such", "{profile}", "no-such", "{user}", "no-such", "{controller}", "no-such", "{digest}", "no-such").Replace(pattern)
	path += "?after=x&blobs=x" // what would answer with more than one JSON value does not take these
	r, err := http.NewRequestWithContext(t.Context(), method, c.targets[0].base+path, strings.NewReader("no JSON"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", route, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if rev, err := strconv.Atoi(resp.Header.Get(RevisionHeader)); err != nil || rev < 3 {
		t.Errorf("%s: %s %q, want a number from 3", route, RevisionHeader, resp.Header.Get(RevisionHeader))
	}
	if told := route == "GET "+MetricsPath && resp.StatusCode == http.StatusOK; !told && (!json.Valid(body) || resp.Header.Get("Content-Type") != jsonType) {
		t.Errorf("%s: %d %s %q, want JSON", route, resp.StatusCode, resp.Header.Get("Content-Type"), body)
	}
	return resp.StatusCode
}

func TestSocketObeysOneUser(t *testing.T) {
	rig := newRig(t, func(c *Config) { c.User++ })
	_, err := rig.local(t).Status(t.Context())
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "run it as root") {
		t.Errorf("Status over a socket that obeys another user: %v, want ErrForbidden and a cure", err)
	}
}

func TestForeignCertificatesAreRefused(t *testing.T) {
	ours, other := newRig(t), newRig(t)
	foreign := ours.issue(t, other.authority, identity.Subject{Role: identity.RoleAdmin, Name: "eve"})
	c := NewClient([]string{ours.address}, ours.pin, certificateOf(foreign))
	t.Cleanup(c.Close)
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("Status with another cluster's certificate: %v, want a failed handshake", err)
	}
	c = NewClient([]string{ours.address}, other.pin, certificateOf(foreign))
	t.Cleanup(c.Close)
	if _, err := c.Status(t.Context()); !errors.Is(err, identity.ErrNotTrusted) {
		t.Errorf("Status of another cluster's controller: %v, want ErrNotTrusted", err)
	}
}

func TestACertificateExpiresOnAnOpenConnection(t *testing.T) {
	var late time.Duration
	rig := newRig(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(late) } })
	c := rig.remote(t, identity.OwnAdmin())
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	late = 2 * time.Hour // requests are answered one after another, so that this is no race
	if _, err := c.Status(t.Context()); !errors.Is(err, identity.ErrNotTrusted) {
		t.Errorf("Status after the certificate's end: %v, want ErrNotTrusted", err)
	}
}

func TestANodeSpeaksForItselfAlone(t *testing.T) {
	rig := newRig(t)
	node := rig.remote(t, identity.Subject{Role: identity.RoleNode, Name: "n1"})
	if _, err := call(t.Context(), node, agentReport, fleet.Report{BootID: "b"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t.Context(), node, agentRenew, fleet.RenewRequest{}, nil); err != nil {
		t.Fatal(err)
	}
	stranger := rig.remote(t, identity.Subject{})
	if _, err := call(t.Context(), stranger, agentEnroll, fleet.EnrollRequest{Token: "good"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t.Context(), stranger, agentEnroll, fleet.EnrollRequest{Token: "bad"}, nil); !errors.Is(err, identity.ErrToken) {
		t.Errorf("enroll with a bad token: %v, want ErrToken", err)
	}
	if got, want := strings.Join(rig.told, ", "), "report n1, renew n1, enroll 127.0.0.1"; got != want {
		t.Errorf("agents said %q, want %q", got, want)
	}
	propose(t, rig.memory, fleet.DeleteNodes{Names: []string{"n1"}})
	if _, err := call(t.Context(), node, agentReport, fleet.Report{BootID: "b"}, nil); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("report of a deleted node: %v, want ErrNotFound", err)
	}
}

// TestNoAnswerHoldsASecret walks the routes that answer without being asked to change anything.
func TestNoAnswerHoldsASecret(t *testing.T) {
	rig := newSite(t)
	encoded, err := json.Marshal(fleet.Secret(canary))
	if err != nil {
		t.Fatal(err)
	}
	c := rig.remote(t, identity.Subject{Role: identity.RoleController, Name: "head"})
	propose(t, rig.memory, fleet.AddJoinToken{Token: fleet.JoinToken{ID: "t1", Hash: fleet.Digest([]byte(canary)), Expires: time.Now().Add(time.Hour)}})
	walked := 0
	for _, r := range New(Config{}).routes() {
		if r.method != http.MethodGet || r.allow == nodes { // nodes get images' bytes, which hold none
			continue
		}
		path := strings.NewReplacer("{node}", "n1", "{image}", "debian", "{network}", "boot", "{profile}", "gpu", "{digest}", fleet.Digest{1}.String()).Replace(r.pattern)
		switch r.pattern {
		case getWatch.pattern:
			path += "?after=0" // all that there ever was
		case compareRevisions.pattern:
			path += "?from=1"
		}
		body := firstLine(t, c, path)
		for _, secret := range [][]byte{[]byte(canary), bytes.Trim(encoded, `"`), []byte("PRIVATE KEY"), []byte(fleet.Digest([]byte(canary)).String())} {
			if bytes.Contains(body, secret) {
				t.Errorf("GET %s tells a secret: %s", path, body)
			}
		}
		walked++
	}
	if walked < 25 {
		t.Errorf("walked %d routes, want all of them", walked)
	}
}

// TestNoChangeTellsASecret sends passwords and asks for what they were.
func TestNoChangeTellsASecret(t *testing.T) {
	rig := newSite(t)
	c := rig.remote(t, identity.Subject{Role: identity.RoleOperator, Name: "eve"})
	encoded, err := json.Marshal(fleet.Secret(canary))
	if err != nil {
		t.Fatal(err)
	}
	propose(t, rig.memory, putProfile(fleet.Profile{Name: "gpu", Settings: fleet.Settings{BMC: fleet.BMC{Password: fleet.Secret("another")}}}))
	for what, ask := range map[string]struct{ path, body string }{
		"an edit":              {"/v1/configuration", `{"puts":[{"node":{"name":"g1","bmc":{"password":` + string(encoded) + `}}}]}`},
		"an edit, dry":         {"/v1/configuration?dry_run=1", `{"puts":[{"node":{"name":"g2","bmc":{"password":` + string(encoded) + `}}}]}`},
		"an edit that is bad":  {"/v1/configuration", `{"puts":[{"node":{"name":"g3","image":"none","bmc":{"password":` + string(encoded) + `}}}]}`},
		"an edit that is torn": {"/v1/configuration", `{"puts":[{"node":{"name":"g3","bmc":{"password":` + string(encoded) + `]`},
		"new nodes":            {"/v1/nodes", `{"nodes":[{"name":"h1","bmc":{"password":` + string(encoded) + `}}]}`},
		"a rollback, dry":      {"/v1/rollback?dry_run=1", `{"revision":4}`},
	} {
		got := askPlainly(t, c, http.MethodPost, ask.path, ask.body)
		if strings.Contains(got.body, canary) || strings.Contains(got.body, strings.Trim(string(encoded), `"`)) {
			t.Errorf("%s tells a secret: %s", what, got.body)
		}
		if got.StatusCode == http.StatusOK && !strings.Contains(got.body, "secret)") {
			t.Errorf("%s does not tell that there is a secret: %s", what, got.body)
		}
	}
}

// firstLine asks for path and returns what comes up to the first line's end: all of it, but of a watch.
func firstLine(t *testing.T, c *Client, path string) []byte {
	t.Helper()
	resp, err := c.http.Get(c.targets[0].base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := bufio.NewReader(resp.Body).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || len(body) == 0 {
		t.Errorf("GET %s: %s %q", path, resp.Status, body)
	}
	return body
}

func TestAControllerThatWasRemovedIsNobody(t *testing.T) {
	rig := newRig(t)
	who := identity.Subject{Role: identity.RoleController, Name: "head2"}
	pair := rig.issue(t, rig.authority, who)
	key := fleet.Digest(sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo))
	join := func(id string, key fleet.Digest) {
		ctl := fleet.Controller{ID: "head2", Address: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts, Key: key}
		token := fleet.JoinToken{ID: id, Hash: fleet.Digest{7}, Expires: time.Now().Add(time.Hour)}
		propose(t, rig.memory, fleet.AddJoinToken{Token: token}, fleet.JoinController{Token: id, Proof: token.Hash, Controller: ctl})
	}
	join("t1", key)
	c := NewPeerClient(rig.address, rig.pin, certificateOf(pair), "head")
	t.Cleanup(c.Close)
	if _, err := c.Hello(t.Context()); err != nil {
		t.Fatalf("Hello of a controller: %v", err)
	}
	propose(t, rig.memory, fleet.RemoveController{ID: "head2"})
	if _, err := c.Hello(t.Context()); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "removed from the cluster") {
		t.Errorf("Hello after the removal: %v, want ErrForbidden that tells of it", err)
	}
	join("t2", fleet.Digest{9})
	if _, err := c.Hello(t.Context()); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "another is called head2") {
		t.Errorf("Hello with the certificate of one whose name another has: %v, want ErrForbidden", err)
	}
}

func TestStrangersAreNotToldOfFaults(t *testing.T) {
	var log bytes.Buffer
	rig := newRig(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	_, err := call(t.Context(), rig.remote(t, identity.Subject{}), agentEnroll, fleet.EnrollRequest{Token: "fault"}, nil)
	if !errors.Is(err, ErrInternal) || strings.Contains(err.Error(), "fire") {
		t.Errorf("enroll at a faulty controller: %v, want ErrInternal without the reason", err)
	}
	if !strings.Contains(log.String(), "disk on fire") {
		t.Errorf("the log lacks the reason: %s", log.String())
	}
}
