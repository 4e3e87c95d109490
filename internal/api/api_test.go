package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

func TestErrorsKeepTheirMeaning(t *testing.T) {
	rig := newRig(t, func(c *Config) { c.Controllers = nil }) // of which some errors tell more
	c := rig.local(t)
	q, err := newQuestion(deleteNodes, fleet.DeleteNodes{Names: []string{"n9"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range codes() {
		rig.mu.Lock()
		rig.refuse = fmt.Errorf("node n9: %w; do this", row.err)
		want := rig.refuse.Error()
		rig.mu.Unlock()
		_, _, said := c.round(t.Context(), q) // once, also of one that is busy
		if len(said) != 1 {
			t.Fatalf("%s: %+v, want one refusal", row.name, said)
		}
		err := said[0].err
		if !errors.Is(err, row.err) || err.Error() != want {
			t.Errorf("%s: got %v, want %q and errors.Is of its sentinel", row.name, err, want)
		}
		for _, other := range codes() {
			if other.err != row.err && errors.Is(err, other.err) {
				t.Errorf("%s is also %s", row.name, other.name)
			}
		}
	}
}

func TestChanges(t *testing.T) {
	rig := newRig(t)
	c := rig.remote(t, identity.OwnAdmin())
	ip := netip.MustParseAddr("10.1.0.12")
	nodes := []fleet.Node{{Name: "n2", Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian"}, Interfaces: []fleet.Interface{{Name: "default", IP: ip}}}}}

	dry, err := c.AddNodes(t.Context(), nodes, ChangeOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []Difference{{Kind: "node", Name: "n2", Action: "add", Fields: []Field{{Name: "image", Is: "debian"}, {Name: "interfaces.default.ip", Is: "10.1.0.12"}}}}
	if diff := cmp.Diff(Change{Revision: 3, DryRun: true, Changed: want}, dry); diff != "" {
		t.Errorf("dry run of AddNodes (-want +got):\n%s", diff)
	}
	if rig.State().Revision() != 3 {
		t.Fatalf("a dry run made revision %d", rig.State().Revision())
	}
	done, err := c.AddNodes(t.Context(), nodes, ChangeOptions{Why: "a new rack"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Change{Revision: 4, Changed: want}, done); diff != "" {
		t.Errorf("AddNodes (-want +got):\n%s", diff)
	}
	if e := rig.last(t); e.Who != "admin/admin" || e.Why != "a new rack" || e.At.IsZero() {
		t.Errorf("audit record: %q %q %s, want admin/admin, a new rack and a time", e.Who, e.Why, e.At)
	}
	rack := "r1"
	set, err := rig.local(t).SetNodes(t.Context(), fleet.SetNodes{Names: []string{"n1", "n2"}, Rack: &rack}, ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Changed) != 2 || set.Changed[0].Action != "set" || set.Changed[1].Fields[0] != (Field{Name: "rack", Is: "r1"}) {
		t.Errorf("SetNodes changed %+v", set.Changed)
	}
	if e := rig.last(t); e.Who != "root@local" {
		t.Errorf("audit record over the socket: %q, want root@local", e.Who)
	}
	if all, err := c.Nodes(t.Context()); err != nil || !nodeNamed(all, "n2") {
		t.Errorf("Nodes: %v, %v; want n2 among them", all, err)
	}
	if _, err := c.DeleteNodes(t.Context(), []string{"n1", "n2"}, ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if all, err := c.Nodes(t.Context()); err != nil || all == nil || len(all) != 0 {
		t.Errorf("Nodes after all were deleted: %#v, %v; want an empty list", all, err)
	}
}

func TestRefusedChangesChangeNothing(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	for _, dry := range []bool{true, false} {
		_, err := c.AddNodes(t.Context(), []fleet.Node{{Name: "n2"}, {Name: "N3"}}, ChangeOptions{DryRun: dry})
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), `"N3"`) {
			t.Errorf("AddNodes, dry run %t: %v, want ErrInvalid that names N3", dry, err)
		}
	}
	if _, err := c.Node(t.Context(), "n2"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Node n2: %v, want ErrNotFound", err)
	}
}

func TestANetworkIsNotChangedBehindAnybodysBack(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	seen, err := c.Network(t.Context(), "boot")
	if err != nil {
		t.Fatal(err)
	}
	first, second := seen, seen
	first.Domain, second.DHCP = "hall3.example", fleet.DHCPOff
	if _, err := c.SetNetwork(t.Context(), first, ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetNetwork(t.Context(), second, ChangeOptions{}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("SetNetwork from an old revision: %v, want ErrConflict", err)
	}
	if now, err := c.Network(t.Context(), "boot"); err != nil || now.Domain != "hall3.example" || now.DHCP != fleet.DHCPFull {
		t.Errorf("network afterwards: %+v, %v", now, err)
	}
}

func TestImagesNetworksAndClusterThroughTheClient(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	ctx := t.Context()
	if images, err := c.Images(ctx); err != nil || len(images) != 1 || images[0].Name != "debian" {
		t.Errorf("Images: %+v, %v", images, err)
	}
	if i, err := c.Image(ctx, fleet.ImageRef{Name: "debian", Version: 1}); err != nil || i.Latest().Root != blob(1) {
		t.Errorf("Image debian:1: %+v, %v", i, err)
	}
	if _, err := c.Image(ctx, fleet.ImageRef{Name: "debian", Version: 7}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Image debian:7: %v, want ErrNotFound", err)
	}
	if b, err := c.Torrent(ctx, fleet.ImageRef{Name: "debian"}); err != nil || !bytes.HasPrefix(b, []byte("d4:info")) {
		t.Errorf("Torrent: %q, %v", b, err)
	}
	if _, err := c.AddNetwork(ctx, fleet.Network{Name: "lab", Subnet: netip.MustParsePrefix("10.2.0.0/24"), DHCP: fleet.DHCPOff}, ChangeOptions{}); err != nil {
		t.Error(err)
	}
	if networks, err := c.Networks(ctx); err != nil || len(networks) != 2 {
		t.Errorf("Networks: %+v, %v", networks, err)
	}
	if _, err := c.DeleteNetwork(ctx, "lab", ChangeOptions{}); err != nil {
		t.Error(err)
	}
	keys := []string{"ssh-ed25519 AAAA root@head"}
	if ch, err := c.SetCluster(ctx, fleet.SetCluster{AuthorizedKeys: &keys}, ChangeOptions{}); err != nil || len(ch.Changed) != 1 {
		t.Errorf("SetCluster: %+v, %v", ch, err)
	}
	upload := int64(1 << 30)
	if ch, err := c.SetCluster(ctx, fleet.SetCluster{Seeding: &fleet.SetSeeding{NodeUpload: &upload}}, ChangeOptions{}); err != nil ||
		!cmp.Equal(ch.Changed, []Difference{{Kind: "cluster", Name: "test", Action: "set", Fields: []Field{{Name: "seeding.node_upload", Is: "1073741824"}}}}) {
		t.Errorf("SetCluster: %+v, %v", ch, err)
	}
	if v, err := c.Cluster(ctx); err != nil || v.Name != "test" || !cmp.Equal(v.AuthorizedKeys, keys) || v.Seeding != (fleet.Seeding{NodeUpload: upload}) {
		t.Errorf("Cluster: %+v, %v", v, err)
	}
	if ch, err := c.DeleteImage(ctx, fleet.ImageRef{Name: "debian"}, ChangeOptions{}); err != nil || len(ch.Changed) != 1 {
		t.Errorf("DeleteImage: %+v, %v", ch, err)
	}
	if boots, err := c.Boots(ctx, "n1"); err != nil || boots == nil {
		t.Errorf("Boots of a node that was not seen: %#v, %v; want an empty list", boots, err)
	}
	if machines, err := c.Unknown(ctx); err != nil || machines == nil {
		t.Errorf("Unknown: %#v, %v; want an empty list", machines, err)
	}
}

func TestStatusCountsWhatTheStateHolds(t *testing.T) {
	rig := newRig(t)
	rig.latest["n1"] = fleet.Boot{Node: "n1", Seen: time.Now(), Phases: []fleet.PhaseEvent{{Phase: fleet.PhaseReady, At: time.Now()}}}
	s, err := rig.local(t).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Status{Cluster: "test", ID: "head", Leader: "head", Quorum: true, Revision: 3, Nodes: map[string]int{"ready": 1}, Images: 1, Problems: []Problem{},
		Controllers: rig.List(), Voters: 1, HA: "one controller alone: while it is down nothing can be changed and no machine boots; samara controller token lets another join, and three outlive the loss of any one", Format: fleet.Format}
	if diff := cmp.Diff(want, s, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("Status (-want +got):\n%s", diff)
	}
}

func TestNodeStates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := now.Add(-time.Minute)
	phases := []fleet.PhaseEvent{{Phase: fleet.PhaseDHCP, At: at.Add(-time.Minute)}, {Phase: fleet.PhaseImage, At: at}}
	for what, c := range map[string]struct {
		boot  fleet.Boot
		seen  bool
		state string
		since time.Time
	}{
		"never seen":              {state: "unseen"},
		"seen without a phase":    {seen: true, state: "unseen"},
		"on its way":              {fleet.Boot{Phases: phases, Seen: now}, true, "image", at},
		"failing":                 {fleet.Boot{Phases: phases, Seen: now, Failure: "no peer"}, true, "failing", at},
		"silent, whatever it did": {fleet.Boot{Phases: phases, Seen: now.Add(-SilentAfter - 1), Failure: "no peer"}, true, "silent", now.Add(-SilentAfter - 1)},
	} {
		v := viewNode(fleet.Node{Name: "n1"}, c.boot, c.seen, now)
		if v.State != c.state || !v.Since.Equal(c.since) {
			t.Errorf("%s: %s since %s, want %s since %s", what, v.State, v.Since, c.state, c.since)
		}
	}
}

func TestBadRequests(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	for what, q := range map[string]struct {
		path, kind, body string
		status           int
		says             string
	}{
		"no JSON":              {"/v1/nodes", jsonType, "{", 400, "unexpected EOF"},
		"two values":           {"/v1/nodes", jsonType, "{} {}", 400, "more than one"},
		"an unknown field":     {"/v1/nodes", jsonType, `{"nodes":[{"name":"n2","colour":"red"}]}`, 400, "colour"},
		"a form":               {"/v1/nodes", "text/plain", "{}", 400, "Content-Type"},
		"a bad MAC":            {"/v1/nodes", jsonType, `{"nodes":[{"name":"n2","interfaces":[{"name":"a","mac":"zz"}]}]}`, 400, `bad MAC address "zz"`},
		"too long":             {"/v1/nodes", jsonType, `{"nodes":"` + strings.Repeat("x", maxBody) + `"}`, 413, "at most"},
		"an odd dry run":       {"/v1/nodes?dry_run=yes", jsonType, `{"nodes":[{"name":"n2"}]}`, 400, "dry_run"},
		"a reason of lines":    {"/v1/nodes?why=a%0ab", jsonType, `{"nodes":[{"name":"n2"}]}`, 400, "control character"},
		"an import of nothing": {"/v1/images/debian/import", jsonType, `{}`, 400, "absolute"},
		"a relative path":      {"/v1/images/debian/import", jsonType, `{"path":"../x"}`, 400, "absolute"},
		"an import as text":    {"/v1/images/debian/import", "text/plain", `x`, 400, "Content-Type"},
		"a bad image name":     {"/v1/images/Debian/import", tarType, `x`, 400, `"Debian"`},
	} {
		resp, err := c.http.Post(c.targets[0].base+q.path, q.kind, strings.NewReader(q.body))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != q.status || !strings.Contains(string(body), strings.ReplaceAll(q.says, `"`, `\"`)) {
			t.Errorf("%s: %d %s; want %d and %q", what, resp.StatusCode, body, q.status, q.says)
		}
	}
	if rig.State().Revision() != 3 {
		t.Errorf("bad requests made revision %d", rig.State().Revision())
	}
}

func TestClientTellsWhyThereIsNoAnswer(t *testing.T) {
	c := NewSocketClient(socketPath(t))
	defer c.Close()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoAnswer) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Status without a socket: %v, want ErrNoAnswer and ErrNotExist", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newRig(t).local(t).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Status with a context that has ended: %v, want Canceled", err)
	}
}

func TestListenSocket(t *testing.T) {
	path := socketPath(t)
	live, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "another samara serve") {
		t.Errorf("a second ListenSocket: %v, want a refusal", err)
	}
	live.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := ListenSocket(path)
	if err != nil {
		t.Fatalf("ListenSocket over what a dead server left: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("ListenSocket over a file: %v, want a refusal", err)
	}
}

func TestServeEndsWhileARequestIsUnderWay(t *testing.T) {
	rig := newRig(t)
	started := make(chan struct{})
	rig.imports = func(ctx context.Context, _ ImportRequest, _ func(Progress)) (fleet.ImageVersion, error) {
		close(started)
		<-ctx.Done()
		return fleet.ImageVersion{}, ctx.Err()
	}
	l, err := ListenSocket(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, asked := make(chan error, 1), make(chan error, 1)
	go func() { ended <- rig.server.Serve(ctx, l) }()
	c := NewSocketClient(l.Addr().String())
	defer c.Close()
	go func() {
		_, err := c.ImportImage(t.Context(), "debian", Source{Path: "/x"}, "", func(Progress) {})
		asked <- err
	}()
	<-started
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v, want nil", err)
	}
	if err := <-asked; err == nil {
		t.Error("an import outlived its controller")
	}
}

func TestUnknownRoutesAreErrorsLikeOthers(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, c.targets[0].base+"/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := refusalOf(t.Context(), rig.socket, resp); !errors.Is(err, ErrRoute) {
		t.Errorf("DELETE /v1/status: %v, want ErrRoute", err)
	}
}
