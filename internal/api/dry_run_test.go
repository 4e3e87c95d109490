package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// TestADryRunIsForViewers walks the routes: a dry run takes no more than a viewer, where there is one.
func TestADryRunIsForViewers(t *testing.T) {
	rig := newRig(t)
	as := map[permission]*Client{
		anyone:  rig.remote(t, identity.Subject{}),
		nodes:   rig.remote(t, identity.Subject{Role: identity.RoleNode, Name: "n1"}),
		viewers: rig.remote(t, identity.Subject{Role: identity.RoleViewer, Name: "eve"}),
		admins:  rig.remote(t, identity.Subject{Role: identity.RoleAdmin, Name: "ann"}),
	}
	dry := 0
	for _, r := range New(Config{}).routes() {
		if !r.allow.forPeople() || r.method == http.MethodGet {
			continue
		}
		path := strings.NewReplacer("{image}", "no-such", "{network}", "no-such", "{controller}", "no-such").Replace(r.pattern) + "?dry_run=1"
		status := map[permission]int{}
		for who, c := range as {
			status[who] = askPlainly(t, c, r.method, path, "no JSON").StatusCode
		}
		if status[anyone] != http.StatusUnauthorized || status[nodes] != http.StatusForbidden {
			t.Errorf("%s %s: %d to a stranger, %d to a node", r.method, path, status[anyone], status[nodes])
		}
		want := http.StatusForbidden
		if r.dry {
			dry++
			want = status[admins]
		} else if status[admins] != http.StatusBadRequest {
			t.Errorf("%s %s: %d to an admin; want 400: it has no dry run", r.method, path, status[admins])
		}
		if status[viewers] != want {
			t.Errorf("%s %s: %d to a viewer, want %d", r.method, path, status[viewers], want)
		}
	}
	if dry < 10 {
		t.Errorf("%d routes have a dry run, want all that change something", dry)
	}
}

func TestADryRunOfAViewerChangesNothing(t *testing.T) {
	rig := newSite(t)
	c := rig.remote(t, identity.Subject{Role: identity.RoleViewer, Name: "eve"})
	before, entries := rig.State().Hash(), len(rig.entries)
	for what, ask := range map[string]func(ChangeOptions) (Change, error){
		"delete nodes": func(o ChangeOptions) (Change, error) { return c.DeleteNodes(t.Context(), []string{"g1"}, o) },
		"edit":         func(o ChangeOptions) (Change, error) { return c.Edit(t.Context(), putNodes(fleet.Node{Name: "g1"}), o) },
		"rollback":     func(o ChangeOptions) (Change, error) { return c.Rollback(t.Context(), 3, o) },
		"delete image": func(o ChangeOptions) (Change, error) {
			return c.DeleteImage(t.Context(), fleet.ImageRef{Name: "debian", Version: 1}, o)
		},
	} {
		if _, err := ask(ChangeOptions{}); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "a dry run does not") {
			t.Errorf("%s: %v, want ErrForbidden that tells of dry runs", what, err)
		}
		got, err := ask(ChangeOptions{DryRun: true})
		if errors.Is(err, fleet.ErrInUse) { // what was to be known
			continue
		}
		if err != nil || !got.DryRun || len(got.Changed) == 0 {
			t.Errorf("%s, dry: %+v, %v; want what would change", what, got, err)
		}
	}
	if rig.State().Hash() != before || len(rig.entries) != entries {
		t.Error("a dry run changed the state")
	}
}

// TestADryRunDoesNotTellWhetherAGuessIsRight gives a viewer a right and a wrong password to ask with.
func TestADryRunDoesNotTellWhetherAGuessIsRight(t *testing.T) {
	rig := newSite(t)
	with := func(name, password string) fleet.Profile {
		return fleet.Profile{Name: name, Settings: fleet.Settings{BMC: fleet.BMC{User: "admin", Password: fleet.Secret(password)}}}
	}
	propose(t, rig.memory, putProfile(with("alike", canary)), putProfile(with("unlike", "another")))
	put := func(p fleet.Profile, more ...fleet.Object) fleet.Edit {
		return fleet.Edit{Puts: append([]fleet.Object{{Profile: &p}}, more...)}
	}
	from := func(name string) fleet.Edit {
		e := put(with("gpu", ""))
		e.Puts[0].Profile.BMC.Password, e.Puts[0].SecretsOf = nil, name
		return e
	}
	uses := func(profile string) fleet.Object {
		return fleet.Object{Node: &fleet.Node{Name: "g1", Profiles: []string{profile}}}
	}
	viewer := rig.remote(t, identity.Subject{Role: identity.RoleViewer, Name: "eve"})
	for what, x := range map[string]struct{ right, wrong fleet.Edit }{
		"of a profile":                {put(with("gpu", canary)), put(with("gpu", "guess"))},
		"of a node through a profile": {put(with("gpu", canary), uses("gpu")), put(with("gpu", "guess"), uses("gpu"))},
		"in a new profile":            {put(with("new", canary), uses("new")), put(with("new", "guess"), uses("new"))},
		"of another profile":          {from("alike"), from("unlike")},
		"of a node, by its profile":   {fleet.Edit{Puts: []fleet.Object{uses("alike")}}, fleet.Edit{Puts: []fleet.Object{uses("unlike")}}},
	} {
		ask := func(e fleet.Edit) string {
			got, err := viewer.Edit(t.Context(), e, ChangeOptions{DryRun: true})
			text, jsonErr := json.Marshal(got)
			if err := errors.Join(err, jsonErr); err != nil || len(got.Changed) == 0 {
				t.Errorf("%s: %+v, %v; want what would change", what, got, err)
			}
			return strings.ReplaceAll(string(text), `"alike"`, `"unlike"`) // that much was asked
		}
		if diff := cmp.Diff(ask(x.wrong), ask(x.right)); diff != "" {
			t.Errorf("the password %s is told (-wrong guess +right guess):\n%s", what, diff)
		}
	}
	// Who may write it may know.
	operator := rig.remote(t, identity.Subject{Role: identity.RoleOperator, Name: "bob"})
	gpu := with("gpu", canary)
	gpu.KernelArgs = []string{"quiet"}
	if got, err := operator.Edit(t.Context(), put(gpu), ChangeOptions{DryRun: true}); err != nil || len(got.Changed) != 0 {
		t.Errorf("a password put again, dry, by an operator: %+v, %v; want no change", got, err)
	}
}
