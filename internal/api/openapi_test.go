package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// served is the document as a client reads it.
type served struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string
		Parameters  []struct{ Name, In string }
		RequestBody *struct {
			Content map[string]struct{ Schema map[string]any }
		}
		Responses map[string]struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]map[string]any }
}

func readDocument(t *testing.T, c *Client) served {
	t.Helper()
	got := askPlainly(t, c, http.MethodGet, "/v1/openapi.json", "")
	var d served
	if err := json.Unmarshal([]byte(got.body), &d); err != nil || got.StatusCode != http.StatusOK {
		t.Fatalf("openapi.json: %s, %v", got.Status, err)
	}
	return d
}

// faults lists what a schema does not allow of a value: a type, a field that the schema lacks, or one that it requires.
func (d served) faults(schema map[string]any, v any, at string) []string {
	if ref, ok := schema["$ref"].(string); ok {
		target, ok := d.Components.Schemas[strings.TrimPrefix(ref, schemaPath)]
		if !ok {
			return []string{at + ": no such schema as " + ref}
		}
		return d.faults(target, v, at)
	}
	if allowed := schema["type"]; allowed != nil && !strings.Contains(fmt.Sprint(allowed), typeOf(v)) {
		if number, ok := v.(json.Number); !ok || allowed != "number" || number == "" {
			return []string{fmt.Sprintf("%s: %v is no %v", at, v, allowed)}
		}
	}
	var out []string
	if words, ok := schema["enum"].([]any); ok && !slices.Contains(words, v) {
		out = append(out, fmt.Sprintf("%s: %v is none of %v", at, v, words))
	}
	switch v := v.(type) {
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			out = append(out, d.faults(items, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		others, open := schema["additionalProperties"].(map[string]any)
		for name, field := range v {
			switch property, ok := properties[name].(map[string]any); {
			case ok:
				out = append(out, d.faults(property, field, at+"."+name)...)
			case open:
				out = append(out, d.faults(others, field, at+"."+name)...)
			case len(schema) > 1: // one of no properties is any object
				out = append(out, at+"."+name+" is not in the schema")
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				out = append(out, fmt.Sprintf("%s lacks %s", at, name))
			}
		}
	}
	return out
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	}
	return "object"
}

func TestTheDocumentHoldsTogether(t *testing.T) {
	rig := newRig(t)
	d := readDocument(t, rig.local(t))
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s, want 3.1", d.OpenAPI)
	}
	seen := map[string]string{}
	count := 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			count++
			if other := seen[op.OperationID]; op.OperationID == "" || other != "" {
				t.Errorf("%s %s has the id %q, as %s", method, path, op.OperationID, other)
			}
			seen[op.OperationID] = method + " " + path
			for _, p := range op.Parameters {
				if p.Name == "" || p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s %s has parameter %+v", method, path, p)
				}
			}
			if wild := strings.Count(path, "{"); wild != len(slices.DeleteFunc(slices.Clone(op.Parameters), func(p struct{ Name, In string }) bool { return p.In != "path" })) {
				t.Errorf("%s %s does not describe its path", method, path)
			}
		}
	}
	if want := len(rig.server.routes()); count != want {
		t.Errorf("%d operations, want %d: every route", count, want)
	}
	for _, r := range rig.server.routes() {
		if r.doc == "" {
			t.Errorf("%s %s says nothing of itself", r.method, r.pattern)
		}
		for _, name := range r.query {
			if p := queryParameter(name); p.Schema == nil || p.Description == "" {
				t.Errorf("%s %s takes %s, which is not described", r.method, r.pattern, name)
			}
		}
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && d.Components.Schemas[strings.TrimPrefix(ref, schemaPath)] == nil {
				t.Errorf("%s refers to %s, which is not there", at, ref)
			}
			for name, field := range v {
				walk(at+"."+name, field)
			}
		case []any:
			for _, item := range v {
				walk(at, item)
			}
		}
	}
	for name, s := range d.Components.Schemas {
		walk(name, s)
	}
	odd := map[string]any{"name": json.Number("1"), "colour": "red", "tags": map[string]any{"a": true}}
	if faults := d.faults(d.Components.Schemas["ProfileView"], odd, "profile"); len(faults) != 3 {
		t.Errorf("a profile with a number for a name, a colour, and a tag that is true: %d faults %q, want 3", len(faults), faults)
	}
	if faults := d.faults(d.Components.Schemas["Network"], map[string]any{"name": "a", "dhcp": "maybe"}, "network"); len(faults) != 2 {
		t.Errorf("a network without a subnet, whose DHCP is maybe: faults %q, want 2", faults)
	}
	for _, f := range fleet.Fields() {
		name := f.Path[strings.LastIndexByte(strings.TrimSuffix(f.Path, ".*"), '.')+1:]
		if !strings.Contains(fmt.Sprint(d.Components.Schemas), f.Doc) {
			t.Errorf("the meaning of %s (%s) is nowhere in the document", f.Path, name)
		}
	}
	if fmt.Sprint(d.Components.Schemas["BMC"]["properties"].(map[string]any)["password"].(map[string]any)["writeOnly"]) != "true" {
		t.Error("the BMC's password is not marked as write-only")
	}
}

// visits is how a test asks for each route so that it answers with a success; "" is a route that another test asks for.
func visits(t *testing.T) map[string]struct{ path, body string } {
	t.Helper()
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	type visit = struct{ path, body string }
	return map[string]visit{
		"GET " + MetricsPath:                  {MetricsPath, ""},
		"GET /v1/status":                      {"/v1/status", ""},
		"GET /v1/cluster":                     {"/v1/cluster", ""},
		"PATCH /v1/cluster":                   {"/v1/cluster?dry_run=1", `{"authorized_keys":["ssh-ed25519 AAAA x"]}`},
		"GET /v1/nodes":                       {"/v1/nodes?resolved=1", ""},
		"GET /v1/nodes/{node}":                {"/v1/nodes/n1", ""},
		"GET /v1/nodes/{node}/boots":          {"/v1/nodes/n1/boots", ""},
		"GET /v1/nodes/{node}/why":            {"/v1/nodes/n1/why", ""},
		"GET /v1/why":                         {"/v1/why", ""},
		"GET /v1/profiles":                    {"/v1/profiles", ""},
		"GET /v1/profiles/{profile}":          {"/v1/profiles/gpu", ""},
		"GET /v1/nodes/{node}/explain":        {"/v1/nodes/n1/explain", ""},
		"GET /v1/configuration":               {"/v1/configuration", ""},
		"POST /v1/configuration":              {"/v1/configuration?dry_run=1", `{"puts":[{"profile":{"name":"gpu","rack":"r1"}}],"deletes":[{"kind":"node","name":"g1"}]}`},
		"GET /v1/history":                     {"/v1/history", ""},
		"GET /v1/difference":                  {"/v1/difference?from=3", ""},
		"POST /v1/rollback":                   {"/v1/rollback?dry_run=1", `{"revision":4}`},
		"POST /v1/nodes":                      {"/v1/nodes?dry_run=1", `{"nodes":[{"name":"n2","image":"debian"}]}`},
		"PATCH /v1/nodes":                     {"/v1/nodes?dry_run=1&why=test", `{"names":["n1"],"rack":"r1"}`},
		"POST /v1/nodes/delete":               {"/v1/nodes/delete?dry_run=1", `{"names":["n1"]}`},
		"POST /v1/nodes/discover":             {"/v1/nodes/discover?dry_run=1", `{"names":["n3"],"until":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`},
		"GET /v1/unknown":                     {"/v1/unknown", ""},
		"GET /v1/images":                      {"/v1/images", ""},
		"GET /v1/images/{image}":              {"/v1/images/debian", ""},
		"GET /v1/images/{image}/torrent":      {"/v1/images/debian/torrent", ""},
		"GET /v1/images/{image}/swarm":        {"/v1/images/debian/swarm", ""},
		"POST /v1/images/{image}/import":      {"/v1/images/debian/import", `{"path":"/x"}`},
		"DELETE /v1/images/{image}":           {"/v1/images/spare?dry_run=1", ""},
		"GET /v1/networks":                    {"/v1/networks", ""},
		"GET /v1/networks/{network}":          {"/v1/networks/boot", ""},
		"POST /v1/networks":                   {"/v1/networks?dry_run=1", `{"name":"lab","subnet":"10.2.0.0/24","dhcp":"off"}`},
		"PUT /v1/networks/{network}":          {"/v1/networks/boot?dry_run=1", `{"name":"boot","subnet":"10.1.0.0/24","dhcp":"proxy"}`},
		"DELETE /v1/networks/{network}":       {"/v1/networks/spare?dry_run=1", ""},
		"GET /v1/watch":                       {"/v1/watch?after=0", ""},
		"GET /v1/backup":                      {"/v1/backup", ""},
		"GET /v1/openapi.json":                {"/v1/openapi.json", ""},
		"GET /v1/controllers":                 {"/v1/controllers", ""},
		"POST /v1/controllers/tokens":         {"/v1/controllers/tokens", `{}`},
		"POST /v1/controllers/join":           {"/v1/controllers/join", text(JoinRequest{Token: "good", ID: "head2"})},
		"POST /v1/controllers/transfer":       {"/v1/controllers/transfer", `{}`},
		"DELETE /v1/controllers/{controller}": {"/v1/controllers/head2?dry_run=1", ""},
		"GET /v1/users":                       {"/v1/users", ""},
		"DELETE /v1/users/{user}":             {"/v1/users/mia?dry_run=1", ""},
		"POST /v1/users":                      {"/v1/users", text(UserRequest{Name: "eve", Role: fleet.UserViewer, CSR: csr})},
		"GET /v1/peer/hello":                  {"/v1/peer/hello", ""},
		"POST /v1/peer/propose":               {"", ""},
		"POST /v1/peer/read":                  {"/v1/peer/read", `{"consistency":"default"}`},
		"POST /v1/peer/transfer":              {"/v1/peer/transfer", `{}`},
		"GET /v1/peer/observed":               {"/v1/peer/observed", ""},
		"POST /v1/peer/pull":                  {"/v1/peer/pull", `{"from":"head2","blobs":{}}`},
		"GET /v1/peer/blob/{digest}":          {"/v1/peer/blob/" + fleet.Digest{1}.String(), ""},
		"POST " + fleet.AgentEnrollPath:       {fleet.AgentEnrollPath, `{"token":"good"}`},
		"POST " + fleet.AgentRenewPath:        {fleet.AgentRenewPath, `{}`},
		"POST " + fleet.AgentReportPath:       {fleet.AgentReportPath, `{"boot_id":"b"}`},
		"GET /v1/agent/blob/{digest}":         {"", ""},
	}
}

// TestEveryAnswerIsAsDescribed asks for every route and holds its answer against the served document.
func TestEveryAnswerIsAsDescribed(t *testing.T) {
	rig := describedRig(t)
	d := readDocument(t, rig.local(t))
	clients := map[permission]*Client{
		anyone: rig.remote(t, identity.Subject{}), nodes: rig.remote(t, identity.Subject{Role: identity.RoleNode, Name: "n1"}),
		controllers: rig.remote(t, identity.Subject{Role: identity.RoleController, Name: "head"}),
	}
	how := visits(t)
	for _, r := range rig.server.routes() {
		name := r.method + " " + r.pattern
		visit, known := how[name]
		delete(how, name)
		if !known {
			t.Errorf("%s is not visited", name)
		}
		if visit.path == "" {
			continue
		}
		c := clients[r.allow]
		if c == nil {
			c = rig.local(t)
		}
		kind, body := visitPath(t, c, r.method, visit.path, visit.body)
		described := d.Paths[r.pattern][strings.ToLower(r.method)].Responses["200"].Content
		m, ok := described[kind]
		if !ok {
			t.Errorf("%s answers with %s, which is not in the document: %s", name, kind, body)
			continue
		}
		if kind != jsonType && kind != linesType {
			continue
		}
		for line := range strings.Lines(body) {
			dec := json.NewDecoder(strings.NewReader(line))
			dec.UseNumber()
			var v any
			if err := dec.Decode(&v); err != nil {
				t.Errorf("%s: %v in %q", name, err, line)
			}
			if faults := d.faults(m.Schema, v, "answer"); len(faults) > 0 {
				t.Errorf("%s is not as described:\n%s\n%s", name, strings.Join(faults, "\n"), line)
			}
		}
	}
	if len(how) > 0 {
		t.Errorf("there are no such routes as %v", slices.Sorted(maps.Keys(how)))
	}
	refused := askPlainly(t, rig.local(t), http.MethodGet, "/v1/nodes/n9", "")
	var v any
	if err := json.Unmarshal([]byte(refused.body), &v); err != nil {
		t.Fatal(err)
	}
	if faults := d.faults(d.Paths["/v1/nodes/{node}"]["get"].Responses["default"].Content[jsonType].Schema, v, "refusal"); len(faults) > 0 {
		t.Errorf("a refusal is not as described: %v", faults)
	}
}

// describedRig serves a cluster in which every answer has something to tell.
func describedRig(t *testing.T) *rig {
	t.Helper()
	rig := newSite(t)
	now := time.Now().UTC()
	token := fleet.JoinToken{ID: "t1", Hash: fleet.Digest{7}, Expires: now.Add(time.Hour)}
	propose(t, rig.memory,
		fleet.AddImageVersion{Image: "spare", Version: fleet.ImageVersion{Root: blob(5), Torrent: blob(6), Kernel: blob(7), Initramfs: blob(8), Arch: "amd64"}, Holders: []string{"head"}},
		fleet.PutNetwork{Network: fleet.Network{Name: "spare", Subnet: netip.MustParsePrefix("10.9.0.0/24"), DHCP: fleet.DHCPOff}, Create: true},
		fleet.AddNodes{Nodes: []fleet.Node{{Name: "n3", Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.1.0.13")}}}}}},
		fleet.AddCertificate{Name: "mia", Role: fleet.UserOperator, Serial: "1f", Expires: now.Add(time.Hour)},
		fleet.AddJoinToken{Token: token},
		fleet.JoinController{Token: "t1", Proof: token.Hash, Controller: fleet.Controller{ID: "head2", Address: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts, Key: fleet.Digest{8}}})
	rig.latest["n1"] = fleet.Boot{ID: "b1", Node: "n1", MAC: fleet.MAC{2, 0, 0, 0, 0, 1}, Seen: now, Failure: "no peer",
		Phases: []fleet.PhaseEvent{{Phase: fleet.PhaseDHCP, At: now, Detail: "UEFI"}}}
	suspect := Suspect{Node: "n1", Peer: netip.MustParseAddr("10.1.0.11"), Fault: fleet.FaultCorrupt, Count: 2, Complainers: 1, Last: now, Avoided: true}
	rig.faults = []Suspect{suspect}
	rig.unknown = []fleet.UnknownMachine{{MAC: fleet.MAC{2, 9}, First: now, Last: now, Requests: 1, From: "eth0", UUID: "u"}}
	rig.memory.swarm = SwarmView{Size: 1000, Pieces: 1, Controllers: []SwarmController{{ID: "head"}}, Racks: []SwarmRack{{Nodes: 1}},
		Stragglers: []Straggler{{Node: "n1", Reason: "it is slow"}}, Suspects: rig.faults}
	rig.imports = func(_ context.Context, _ ImportRequest, progress func(Progress)) (fleet.ImageVersion, error) {
		progress(Progress{Step: "read", Done: 1, Total: 2})
		progress(Progress{Warning: "a host key"})
		return fleet.ImageVersion{Number: 2, Imported: now}, nil
	}
	rig.pulls = func(_ context.Context, _ PullRequest, progress func(Progress)) error {
		progress(Progress{Step: "copy"})
		return nil
	}
	return rig
}

// visitPath asks for a path and returns the type and the body of the answer: of a watch, its first two lines.
func visitPath(t *testing.T, c *Client, method, path, body string) (kind, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.targets[0].base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", jsonType)
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var all strings.Builder
	in := bufio.NewReader(resp.Body)
	for lines := 0; !strings.HasPrefix(path, "/v1/watch") || lines < 2; lines++ {
		line, err := in.ReadString('\n')
		all.WriteString(line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s: %s %s", method, path, resp.Status, all.String())
	}
	return resp.Header.Get("Content-Type"), all.String()
}
