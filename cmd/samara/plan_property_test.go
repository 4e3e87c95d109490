package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/config"
)

// The objects that drawn files speak of.
func someProfiles() []string { return []string{"p0", "p1", "p2", "p3"} }
func someNodes() []string    { return []string{"n1", "n2", "n3", "n4", "n5"} }

// someSettings draws what a node or a profile says.
func someSettings(t *rapid.T) fleet.Settings {
	s := fleet.Settings{
		Rack:       rapid.SampledFrom([]string{"", "", "r1", "r2"}).Draw(t, "rack"),
		Init:       rapid.SampledFrom([]string{"", "", "/a", "/b"}).Draw(t, "init"),
		KernelArgs: rapid.SliceOfN(rapid.SampledFrom([]string{"quiet", "nosmt", "~quiet"}), 0, 3).Draw(t, "args"),
	}
	if value := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "tag"); value != "" {
		s.Tags = map[string]string{"a": value}
	}
	return s
}

// someOf draws a list of profiles, some of them negated.
func someOf(t *rapid.T, profiles []string) []string {
	var out []string
	for _, name := range profiles {
		switch rapid.IntRange(0, 4).Draw(t, name) {
		case 0, 1:
			out = append(out, name)
		case 2:
			out = append(out, "~"+name)
		}
	}
	return out
}

// someDocuments draws files that have some of the objects, or all profiles.
func someDocuments(t *rapid.T, whole bool) config.Documents {
	var d config.Documents
	for i, name := range someProfiles() {
		if whole || rapid.Bool().Draw(t, "has "+name) {
			d.Profiles = append(d.Profiles, fleet.Profile{Name: name, Profiles: someOf(t, someProfiles()[:i]), Settings: someSettings(t)})
		}
	}
	for _, name := range someNodes() {
		if rapid.Bool().Draw(t, "has "+name) {
			d.Nodes = append(d.Nodes, fleet.Node{Name: name, Profiles: someOf(t, someProfiles()), Settings: someSettings(t)})
		}
	}
	return d
}

// someTransaction draws a change that files ask for, read from their text, and that deletes some nodes besides.
func someTransaction(t *rapid.T, now fleet.State, whole bool) transaction {
	d := someDocuments(t, whole)
	var text bytes.Buffer
	if err := config.Encode(&text, d); err != nil {
		t.Fatal(err)
	}
	read, err := config.Parse(config.File{Name: "drawn.yaml", Data: text.Bytes()})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}
	change := transaction{edit: read.Edit(), where: read.Where}
	for n := range now.Nodes() {
		put := slices.ContainsFunc(read.Nodes, func(other fleet.Node) bool { return other.Name == n.Name })
		if !put && rapid.IntRange(0, 3).Draw(t, "delete "+n.Name) == 0 {
			change.edit.Deletes = append(change.edit.Deletes, fleet.Ref{Kind: fleet.ObjectNode, Name: n.Name})
		}
	}
	return change
}

// TestAppliesChangeWhatTheirPlansSaid plans and applies changes one after the other.
func TestAppliesChangeWhatTheirPlansSaid(t *testing.T) {
	m, client := serveMemory(t)
	began := m.State()
	rapid.Check(t, func(rt *rapid.T) {
		m.rewind(began)
		for step := range rapid.IntRange(1, 4).Draw(rt, "steps") {
			before := m.State()
			change := someTransaction(rt, before, step == 0)
			plan, err := change.make(t.Context(), client, api.ChangeOptions{DryRun: true})
			if err != nil {
				rt.Fatalf("plan: %v", err)
			}
			if now := m.State(); now.Revision() != before.Revision() || now.ConfigHash() != before.ConfigHash() {
				rt.Fatal("a plan changed the configuration")
			}
			done, err := change.make(t.Context(), client, api.ChangeOptions{If: []fleet.Condition{api.IfRevision(plan.Revision)}})
			if err != nil {
				rt.Fatalf("apply: %v", err)
			}
			if said, was := fmt.Sprint(plan.Changed, plan.Effects), fmt.Sprint(done.Changed, done.Effects); said != was {
				rt.Fatalf("the plan said\n%s\nand apply\n%s", said, was)
			}
			checkTold(rt, before, m.State(), plan)
		}
	})
}

// checkTold compares what a plan said with what has become of the configuration.
func checkTold(t *rapid.T, before, after fleet.State, plan api.Change) {
	told := map[string]string{}
	for _, d := range plan.Changed {
		told[d.Kind+" "+d.Name] = d.Action + plain(d.Fields)
	}
	want := map[string]string{}
	differ(want, fleet.ObjectProfile, profileValues(before), profileValues(after))
	differ(want, fleet.ObjectNode, nodeValues(before.Nodes()), nodeValues(after.Nodes()))
	if !maps.Equal(told, want) {
		t.Fatalf("the plan said\n%v\nand what differs is\n%v", told, want)
	}
	became := map[string]string{}
	differ(became, fleet.ObjectNode, nodeValues(before.ResolveAll()), nodeValues(after.ResolveAll()))
	for _, e := range plan.Effects {
		for _, name := range e.Nodes {
			key := fleet.ObjectNode + " " + name
			if said := "set" + plain(e.Fields); said != became[key] {
				t.Fatalf("%s: the plan said %s by profiles, and it is %s", key, said, became[key])
			}
			told[key] = became[key]
		}
	}
	for key, what := range became {
		if told[key] == "" {
			t.Fatalf("%s: the plan said nothing, and it is %s", key, what)
		}
	}
}

// differ adds to out how objects differ that have such values, as a plan says it.
func differ(out map[string]string, kind string, before, after map[string]map[string]string) {
	for name, is := range after {
		was, had := before[name]
		fields := changedFields(was, is)
		switch {
		case !had:
			out[kind+" "+name] = "add" + plain(fields)
		case len(fields) > 0:
			out[kind+" "+name] = "set" + plain(fields)
		}
	}
	for name := range before {
		if _, left := after[name]; !left {
			out[kind+" "+name] = "delete" + plain(nil)
		}
	}
}

// changedFields compares values by their paths.
func changedFields(was, is map[string]string) []api.Field {
	both := maps.Clone(is)
	maps.Copy(both, was)
	var out []api.Field
	for _, path := range slices.Sorted(maps.Keys(both)) {
		if was[path] != is[path] {
			out = append(out, api.Field{Name: path, Was: was[path], Is: is[path]})
		}
	}
	return out
}

// plain writes fields without what they need.
func plain(fields []api.Field) string {
	var all []string
	for _, f := range fields {
		all = append(all, fmt.Sprintf(" %s %q %q", f.Name, f.Was, f.Is))
	}
	return fmt.Sprint(all)
}

func nodeValues(nodes func(func(fleet.Node) bool)) map[string]map[string]string {
	all := map[string]map[string]string{}
	for n := range nodes {
		all[n.Name] = maps.Collect(n.Values())
	}
	return all
}

func profileValues(s fleet.State) map[string]map[string]string {
	all := map[string]map[string]string{}
	for p := range s.Profiles() {
		all[p.Name] = maps.Collect(p.Values())
	}
	return all
}

// serveMemory serves a cluster with nothing on it, and returns a client of it.
func serveMemory(t *testing.T) (*memory, *api.Client) {
	t.Helper()
	m := &memory{began: time.Now(), changed: make(chan struct{}), leader: "head"}
	if err := m.begin([]byte("a certificate, as far as this test is concerned")); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "samara") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	socket, err := api.ListenSocket(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := api.New(api.Config{Store: m, Images: m, Observer: m, Agents: m, Health: m, Controllers: m, Backups: m, Swarms: m,
		Logger: slog.New(slog.DiscardHandler), User: uint32(os.Getuid())})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(ctx, socket); err != nil {
			t.Error(err)
		}
	})
	client := api.NewSocketClient(socket.Addr().String())
	t.Cleanup(func() {
		client.Close()
		cancel()
		running.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return m, client
}

// rewind makes the state what it was.
func (m *memory) rewind(to fleet.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.past = to, m.past[:to.Revision()]
}
