package api

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

func TestControllersThroughTheClient(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	ctx := t.Context()
	all, err := c.Controllers(ctx)
	if err != nil || len(all) != 1 || all[0].ID != "head" || all[0].Address != netip.MustParseAddrPort("10.1.0.1:7600") {
		t.Errorf("Controllers: %+v, %v", all, err)
	}
	if token, err := c.AddToken(ctx, 0, ChangeOptions{Why: "rack 2"}); err != nil || token.Token != "samara-join.x" || token.Expires.IsZero() {
		t.Errorf("AddToken: %+v, %v", token, err)
	}
	if _, err := c.AddToken(ctx, MaxTokenLife+time.Second, ChangeOptions{}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("AddToken for more than a week: %v, want ErrInvalid", err)
	}
	if err := c.TransferLeadership(ctx, ""); err != nil {
		t.Errorf("TransferLeadership: %v", err)
	}
	if err := c.TransferLeadership(ctx, "nobody"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("TransferLeadership to nobody: %v, want ErrNotFound", err)
	}
	token := fleet.JoinToken{ID: "t1", Hash: fleet.Digest{7}, Expires: time.Now().Add(time.Hour)}
	propose(t, rig.memory, fleet.AddJoinToken{Token: token}, fleet.JoinController{Token: "t1", Proof: token.Hash,
		Controller: fleet.Controller{ID: "head2", Address: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts, Key: fleet.Digest{8}}})
	rev := rig.State().Revision()
	want := []Difference{{Kind: "controller", Name: "head2", Action: "delete"}}
	dry, err := c.RemoveController(ctx, "head2", false, ChangeOptions{DryRun: true})
	if diff := cmp.Diff(Change{Revision: rev, DryRun: true, Changed: want}, dry); err != nil || diff != "" {
		t.Errorf("dry run of RemoveController: %v (-want +got):\n%s", err, diff)
	}
	done, err := c.RemoveController(ctx, "head2", true, ChangeOptions{Why: "burnt"})
	if diff := cmp.Diff(Change{Revision: rev + 1, Changed: want}, done); err != nil || diff != "" {
		t.Errorf("RemoveController: %v (-want +got):\n%s", err, diff)
	}
	if _, err := c.RemoveController(ctx, "head", false, ChangeOptions{DryRun: true}); !fleet.IsRefusal(err) {
		t.Errorf("dry run of removing the last controller: %v, want a refusal", err)
	}
	if got, want := strings.Join(rig.told, ", "), "token 1h0m0s rack 2 root@local, transfer , transfer nobody, remove true burnt root@local"; got != want {
		t.Errorf("the controller was told %q, want %q", got, want)
	}
}

func TestDiscoveryIsArmed(t *testing.T) {
	rig := newRig(t)
	propose(t, rig.memory, fleet.AddNodes{Nodes: []fleet.Node{{Name: "n2", Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.1.0.12")}}}}}})
	until := time.Now().Add(time.Hour).UTC()
	ch, err := rig.local(t).Discover(t.Context(), fleet.ArmDiscovery{Names: []string{"n2"}, Until: until}, ChangeOptions{})
	if err != nil || len(ch.Changed) != 1 || ch.Changed[0].Name != "n2" || ch.Changed[0].Fields[0].Name != "discover" {
		t.Errorf("Discover: %+v, %v; want n2 armed", ch, err)
	}
	if !rig.State().Armed("boot", time.Now()) {
		t.Error("no node is armed")
	}
}

func TestJoin(t *testing.T) {
	rig := newRig(t)
	answer, err := Join(t.Context(), rig.address, rig.pin, JoinRequest{Token: "good", ID: "head2"})
	if err != nil || answer.Cluster != "test" || string(answer.SealKey) != canary {
		t.Errorf("Join: %v, %v; want the cluster and its seal key", answer, err)
	}
	if _, err := Join(t.Context(), rig.address, rig.pin, JoinRequest{Token: "bad"}); !errors.Is(err, fleet.ErrJoin) {
		t.Errorf("Join with a bad token: %v, want ErrJoin", err)
	}
	if _, err := Join(t.Context(), rig.address, rig.pin, JoinRequest{Token: "late"}); !errors.Is(err, ErrClock) {
		t.Errorf("Join with a clock that is off: %v, want ErrClock", err)
	}
	if _, err := Join(t.Context(), rig.address, newRig(t).pin, JoinRequest{Token: "good"}); !errors.Is(err, identity.ErrNotTrusted) {
		t.Errorf("Join of another cluster than the token's: %v, want ErrNotTrusted", err)
	}
	if got := strings.Join(rig.told, ", "); got != "join head2 127.0.0.1" {
		t.Errorf("the controller was told %q", got)
	}
}

func TestJoinTellsOfAClockThatIsOff(t *testing.T) {
	rig := newRig(t)
	tomorrow := time.Now().Add(30 * time.Hour)
	rig.shown.Store(rig.issueAt(t, rig.authority, identity.Subject{Role: identity.RoleController, Name: "head"}, tomorrow))
	_, err := Join(t.Context(), rig.address, rig.pin, JoinRequest{Token: "good", ID: "head2"})
	if !errors.Is(err, identity.ErrNotTrusted) || errors.Is(err, ErrClock) || !strings.Contains(err.Error(), "systemctl restart samara") {
		t.Errorf("Join of a controller with a bad certificate and the right clock: %v, want its cure", err)
	}
	there := listen(t, rig, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", tomorrow.UTC().Format(http.TimeFormat))
	}))
	_, err = Join(t.Context(), there, rig.pin, JoinRequest{Token: "good", ID: "head2"})
	for _, part := range []string{tomorrow.UTC().Format("2006-01-02T15"), time.Now().UTC().Format("2006-01-02T"), "chronyc", "timedatectl"} {
		if !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), part) {
			t.Errorf("Join of a controller where it is tomorrow: %v, want ErrClock with both clocks and the cure", err)
		}
	}
}

func TestJoinsAreLimited(t *testing.T) {
	var l joinLimiter
	now := time.Now()
	a, b := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	for i := range joinBurst {
		if !l.allow(a, now) {
			t.Errorf("join %d of one address at once was refused", i+1)
		}
	}
	if l.allow(a, now) {
		t.Errorf("join %d of one address at once was allowed", joinBurst+1)
	}
	if !l.allow(b, now) || !l.allow(a, now.Add(time.Second)) {
		t.Error("another address, or the same a second later, was refused")
	}
	l = joinLimiter{}
	flood := netip.MustParseAddr("10.2.0.0")
	for range maxJoiners {
		flood = flood.Next()
		l.allow(flood, now)
	}
	if l.allow(a, now) || len(l.from) > maxJoiners {
		t.Errorf("%d addresses are remembered, at most %d", len(l.from), maxJoiners)
	}
	if !l.allow(a, now.Add(time.Minute)) {
		t.Error("an address was refused although the flood is over")
	}
}

func TestJoinsAreLimitedOnTheWire(t *testing.T) {
	rig := newRig(t, func(c *Config) { at := time.Now(); c.Now = func() time.Time { return at } })
	c := rig.remote(t, identity.Subject{})
	for range joinBurst {
		if _, err := call(t.Context(), c, joinController, JoinRequest{Token: "bad"}, nil); !errors.Is(err, fleet.ErrJoin) {
			t.Fatalf("join with a bad token: %v, want ErrJoin", err)
		}
	}
	if _, err := call(t.Context(), c, joinController, JoinRequest{Token: "good"}, nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one join too many: %v, want ErrUnavailable", err)
	}
}

func TestAvailability(t *testing.T) {
	lead, voter := ControllerView{ID: "a", Role: RoleLeader, Alive: true}, ControllerView{ID: "b", Role: RoleVoter, Alive: true}
	dead, joining := ControllerView{ID: "c", Role: RoleVoter}, ControllerView{ID: "d", Role: RoleJoining, Alive: true}
	deadToo := ControllerView{ID: "e", Role: RoleVoter}
	for what, c := range map[string]struct {
		all    []ControllerView
		voters int
		says   string // "" is that all is well
	}{
		"nobody known":         {nil, 0, ""},
		"one":                  {[]ControllerView{lead}, 1, "one controller alone"},
		"one, and one to be":   {[]ControllerView{lead, joining}, 1, "1 more will have a vote"},
		"two":                  {[]ControllerView{lead, voter}, 2, "two controllers are not high availability"},
		"two, one down":        {[]ControllerView{lead, dead}, 2, "c is down, 1 of 2 votes left: nothing can be changed"},
		"three":                {[]ControllerView{lead, voter, voter}, 3, ""},
		"three, one down":      {[]ControllerView{lead, voter, dead}, 3, "c is down: if one more of 3 goes down"},
		"three, two down":      {[]ControllerView{lead, dead, deadToo}, 3, "c, e are down, 1 of 3 votes left"},
		"four, one down":       {[]ControllerView{lead, voter, voter, dead}, 4, "if one more of 4"},
		"five, one down":       {[]ControllerView{lead, voter, voter, voter, dead}, 5, ""},
		"three, and a learner": {[]ControllerView{lead, voter, voter, {ID: "f", Role: RoleLearner}}, 3, ""},
	} {
		voters, why := availability(c.all)
		if voters != c.voters || !strings.Contains(why, c.says) || (c.says == "") != (why == "") {
			t.Errorf("%s: %d voters, %q; want %d and %q", what, voters, why, c.voters, c.says)
		}
	}
}

func TestBackendsThatAreMissing(t *testing.T) {
	rig := newRig(t, func(c *Config) { c.Controllers, c.Peers, c.Backups = nil, nil, nil })
	c, peer := rig.local(t), rig.peer(t, "head")
	ctx := t.Context()
	for what, ask := range map[string]func() error{
		"Controllers": func() error { _, err := c.Controllers(ctx); return err },
		"AddToken":    func() error { _, err := c.AddToken(ctx, 0, ChangeOptions{}); return err },
		"Remove":      func() error { _, err := c.RemoveController(ctx, "x", false, ChangeOptions{}); return err },
		"Transfer":    func() error { return c.TransferLeadership(ctx, "") },
		"Backup":      func() error { return c.Backup(ctx, &strings.Builder{}, false) },
		"Hello":       func() error { _, err := peer.Hello(ctx); return err },
		"Propose":     func() error { _, err := peer.Propose(ctx, nil); return err },
		"Blob":        func() error { _, _, err := peer.Blob(ctx, fleet.Digest{1}); return err },
	} {
		if err := ask(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s without a backend: %v, want ErrUnavailable", what, err)
		}
	}
	if s, err := c.Status(ctx); err != nil || s.Controllers == nil {
		t.Errorf("Status without controllers: %+v, %v; want an empty list", s, err)
	}
}
