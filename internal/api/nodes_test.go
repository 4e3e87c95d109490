package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
)

// answer is what came of a request in plain HTTP.
type answer struct {
	*http.Response
	body string
}

// askPlainly sends a request as a program without our client would.
func askPlainly(t *testing.T, c *Client, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.targets[0].base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", jsonType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(b)}
}

func TestNodesComeInPages(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	var more []fleet.Node
	want := []string{"n1"}
	for i := range 6 {
		more = append(more, fleet.Node{Name: fmt.Sprintf("n2%d", i)})
		want = append(want, more[i].Name)
	}
	propose(t, rig.memory, fleet.AddNodes{Nodes: more})
	var names []string
	pages := 0
	for path := "/v1/nodes?limit=3&resolved=1"; path != ""; pages++ {
		page := askPlainly(t, c, http.MethodGet, path, "")
		var views []NodeView
		if err := json.Unmarshal([]byte(page.body), &views); err != nil || page.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %s %s", path, page.Status, page.body)
		}
		for _, v := range views {
			names = append(names, v.Name)
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(page.Header.Get("Link"), "<"), ">")
	}
	if !slices.Equal(names, want) || pages != 3 {
		t.Errorf("%d pages held %v, want 3 with %v", pages, names, want)
	}
	page, err := c.SomeNodes(t.Context(), NodeQuery{Written: true, After: "n23", Limit: 10})
	if err != nil || len(page) != 2 || page[0].Name != "n24" {
		t.Errorf("the nodes after n23: %+v, %v", page, err)
	}
	for _, bad := range []string{"0", "-1", "x", "10001"} {
		if got := askPlainly(t, c, http.MethodGet, "/v1/nodes?limit="+bad, ""); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "limit") {
			t.Errorf("limit %s: %s %s, want 400 that names it", bad, got.Status, got.body)
		}
	}
}

func TestAnETagGuardsAChange(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	tags := map[string]string{}
	for path, want := range map[string]string{
		"/v1/nodes/n1":        `"node/n1@3"`,
		"/v1/networks/boot":   `"network/boot@1"`,
		"/v1/images/debian":   `"image/debian@2"`,
		"/v1/images/debian:1": `"image/debian@2"`,
		"/v1/cluster":         `"cluster@1"`,
		"/v1/nodes":           `"state@3"`,
		"/v1/status":          "", // it tells of more than the state
	} {
		got := askPlainly(t, c, http.MethodGet, path, "")
		if tags[path] = got.Header.Get("ETag"); tags[path] != want || got.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s, ETag %s, want %s", path, got.Status, tags[path], want)
		}
	}
	rack := func(name, tag string) answer {
		return askPlainly(t, c, http.MethodPatch, "/v1/nodes", fmt.Sprintf(`{"names":["n1"],"rack":%q}`, name), ifMatchHeader, tag)
	}
	if got := rack("r1", tags["/v1/nodes/n1"]); got.StatusCode != http.StatusOK {
		t.Errorf("a change of what was seen: %s %s", got.Status, got.body)
	}
	if got := rack("r2", tags["/v1/nodes/n1"]); got.StatusCode != http.StatusPreconditionFailed || !strings.Contains(got.body, `"conflict"`) {
		t.Errorf("a change of what was seen before another changed it: %s %s, want 412", got.Status, got.body)
	}
	if got := rack("r2", tags["/v1/networks/boot"]); got.StatusCode != http.StatusOK {
		t.Errorf("a change as long as a network is as it was: %s %s", got.Status, got.body)
	}
	for _, bad := range []string{"*", `W/"node/n1@3"`, `"17"`, "node/n1@3", `"node/n1@3", "node/n1@4"`} {
		if got := rack("r3", bad); got.StatusCode != http.StatusBadRequest {
			t.Errorf("If-Match %s: %s %s, want 400", bad, got.Status, got.body)
		}
	}
	if got := askPlainly(t, c, http.MethodPost, "/v1/controllers/transfer", "{}", ifMatchHeader, `"cluster@1"`); got.StatusCode != http.StatusBadRequest {
		t.Errorf("If-Match where nothing heeds it: %s %s, want 400", got.Status, got.body)
	}
}

func TestAPasswordIsToldOfAndNotShown(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	n, err := c.Node(t.Context(), "n1")
	if err != nil || !slices.Equal(n.Secrets, []string{"bmc.password"}) || n.BMC.Password != nil || n.BMC.User != "admin" {
		t.Errorf("Node: %+v, %v; want its BMC without the password, and that there is one", n, err)
	}
	with := func(password string) *fleet.Node {
		return &fleet.Node{Settings: fleet.Settings{BMC: fleet.BMC{Password: fleet.Secret(password)}}}
	}
	for what, x := range map[string]struct {
		was, is *fleet.Node
		want    []Field
	}{
		"given":     {with(""), with(canary), []Field{{Name: "bmc.password", Is: "(secret)"}}},
		"taken":     {with(canary), with(""), []Field{{Name: "bmc.password", Was: "(secret)"}}},
		"another":   {with(canary), with(canary + "2"), []Field{{Name: "bmc.password", Was: "(secret)", Is: "(another secret)"}}},
		"the same":  {with(canary), with(canary), nil},
		"of a node": {nil, with(canary), []Field{{Name: "bmc.password", Is: "(secret)"}}},
	} {
		if diff := cmp.Diff(x.want, newComparer().nodes(x.was, x.is)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	var secret []string
	for _, f := range fleet.Fields() {
		if f.Secret {
			secret = append(secret, f.Path)
		}
	}
	if !slices.Equal(secret, []string{passwordPath}) {
		t.Errorf("the secret fields are %v; secretsOf and the comparer know of %s alone", secret, passwordPath)
	}
}

func TestWhyNamesTheSource(t *testing.T) {
	rig := newRig(t)
	all, err := rig.local(t).Why(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(p fleet.Provenance) bool { return p.Field == "interfaces.default.ip" })
	if at < 0 || all[at].Value != "10.1.0.11" || all[at].Source != fleet.SourceNode {
		t.Errorf("Why: %+v, want the address from the node", all)
	}
	if _, err := rig.local(t).Why(t.Context(), "n9"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Why of a node that is not there: %v, want ErrNotFound", err)
	}
}

func TestWhyComesInPages(t *testing.T) {
	rig := newRig(t)
	more := make([]fleet.Node, WhyPage)
	for i := range more {
		more[i].Name = fmt.Sprintf("p%04d", i)
	}
	for part := range slices.Chunk(more, 250) {
		propose(t, rig.memory, fleet.AddNodes{Nodes: part})
	}
	c := rig.local(t)
	first, err := c.WhyAfter(t.Context(), "")
	if err != nil || len(first) != WhyPage || first[0].Name != "n1" {
		t.Fatalf("WhyAfter nothing: %d nodes, %v; want %d from n1 on", len(first), err, WhyPage)
	}
	one, err := c.Why(t.Context(), "n1")
	if diff := cmp.Diff(one, first[0].Values); err != nil || diff != "" {
		t.Errorf("n1 in a page: %v (-alone +in the page):\n%s", err, diff)
	}
	last := first[WhyPage-1].Name
	if rest, err := c.WhyAfter(t.Context(), last); err != nil || len(rest) != 1 || rest[0].Name != "p0999" {
		t.Errorf("WhyAfter %s: %+v, %v; want p0999 alone", last, rest, err)
	}
	if got := askPlainly(t, c, http.MethodGet, "/v1/why", ""); !strings.Contains(got.Header.Get("Link"), "after="+last) {
		t.Errorf("GET /v1/why without a limit: %s, Link %q; want one that goes on after %s", got.Status, got.Header.Get("Link"), last)
	}
}
