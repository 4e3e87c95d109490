package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// start2 returns the state of start in a cluster of three controllers at format 2.
func start2(t interface {
	Helper()
	Fatalf(string, ...any)
}) State {
	t.Helper()
	s := start(t)
	must := func(c Command) {
		t.Helper()
		var err error
		if s, err = s.Apply(Entry{Command: c, At: noon}, s.Revision()+1); err != nil {
			t.Fatalf("%s: %v", c.Kind(), err)
		}
	}
	must(SetFormat{2})
	for i, id := range []string{"head2", "head3"} {
		must(AddJoinToken{testToken(id)})
		must(JoinController{Token: id, Proof: testToken(id).Hash, Controller: testController(id, byte(i+2))})
	}
	return s
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func testToken(id string) JoinToken {
	return JoinToken{ID: id, Hash: Digest{byte(len(id)), id[0]}, Expires: noon.Add(time.Hour)}
}

func testController(id string, host byte) Controller {
	return Controller{ID: id, Address: netip.AddrFrom4([4]byte{10, 1, 0, host}), Ports: DefaultPorts, Key: Digest{host}}
}

// TestFormersAreAsTheyWere reads what former releases wrote, and writes the same bytes.
func TestFormersAreAsTheyWere(t *testing.T) {
	for format, want := range map[int]struct {
		revision Revision
		outcomes int
	}{1: {15, 0}, 2: {25, 12}, 3: {32, 26}} {
		t.Run(fmt.Sprint("format ", format), func(t *testing.T) {
			log, err := os.ReadFile(fmt.Sprintf("testdata/format%d.log", format))
			if err != nil {
				t.Fatal(err)
			}
			snapshot, err := os.ReadFile(fmt.Sprintf("testdata/format%d.snapshot", format))
			if err != nil {
				t.Fatal(err)
			}
			var s State
			for line := range bytes.Lines(log) {
				line = bytes.TrimSuffix(line, []byte("\n"))
				if _, err := DecodeEntry(line, format); err != nil {
					t.Errorf("as an old release: %v", err)
				}
				e, err := DecodeEntry(line, Format)
				if err != nil {
					t.Fatal(err)
				}
				if format == 1 {
					e.ID = "an-id-that-is-left-out"
				}
				if again, err := EncodeEntry(e, s.Format()); err != nil || !bytes.Equal(again, line) {
					t.Errorf("wrote %s, %v; want %s", again, err, line)
				}
				s, _ = s.Apply(e, s.Revision()+1) // some are refused
			}
			var wrote bytes.Buffer
			if _, err := s.WriteTo(&wrote); err != nil || !bytes.Equal(wrote.Bytes(), snapshot) {
				t.Errorf("wrote %s, %v; want %s", wrote.Bytes(), err, snapshot)
			}
			read, err := ReadState(bytes.NewReader(snapshot))
			if err != nil || read.Hash() != s.Hash() || read.Revision() != want.revision {
				t.Errorf("read revision %d, %v; want the state that the log leads to", read.Revision(), err)
			}
			outcomes := 0
			for range s.outcomes.all() {
				outcomes++
			}
			if outcomes != want.outcomes {
				t.Errorf("%d outcomes are remembered, want %d", outcomes, want.outcomes)
			}
		})
	}
}

// TestFormat3AddsSeeding leads a state of format 2 to format 3, which alone has a seeding.
func TestFormat3AddsSeeding(t *testing.T) {
	snapshot, err := os.ReadFile("testdata/format2.snapshot")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadState(bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	limit, file := int64(1<<30), "/run/job"
	change := Entry{Command: &SetCluster{Seeding: &SetSeeding{NodeUpload: &limit}}, At: noon}
	if _, err := EncodeEntry(change, s.Format()); !errors.Is(err, ErrFormat) {
		t.Errorf("encoded for format 2: %v, want ErrFormat", err)
	}
	if after, err := s.Apply(change, s.Revision()+1); !errors.Is(err, ErrFormat) || after.Advance(s.Revision()).Hash() != s.Hash() {
		t.Errorf("applied to a state of format 2: %v, want ErrFormat and no change", err)
	}
	for _, e := range []Entry{{Command: &SetFormat{3}, At: noon}, change, {Command: &SetCluster{Seeding: &SetSeeding{PauseFile: &file}}, At: noon}} {
		b, err := EncodeEntry(e, s.Format())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeEntry(b, 2); !errors.Is(err, ErrUndecodable) {
			t.Errorf("a release of format 2 reads %s: %v, want ErrUndecodable", b, err)
		}
		if e, err = DecodeEntry(b, Format); err != nil {
			t.Fatal(err)
		}
		if s, err = s.Apply(e, s.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again, err := ReadState(bytes.NewReader(b.Bytes()))
	if err != nil || again.Hash() != s.Hash() {
		t.Fatalf("a snapshot of format 3: %v", err)
	}
	if c, _ := again.Cluster(); c.Seeding != (Seeding{NodeUpload: limit, PauseFile: file}) {
		t.Errorf("seeding %+v", c.Seeding)
	}
	older := strings.NewReplacer(`"format":3`, `"format":2`).Replace(b.String())
	if _, err := ReadState(strings.NewReader(older)); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), "format 2 lacks") {
		t.Errorf("a snapshot of format 2 with a seeding: %v", err)
	}
	off, none := int64(0), ""
	if s, err = s.Apply(Entry{Command: SetCluster{Seeding: &SetSeeding{NodeUpload: &off, PauseFile: &none}}}, s.Revision()+1); err != nil {
		t.Fatal(err)
	}
	if c, _ := s.Cluster(); c.Seeding != (Seeding{}) {
		t.Errorf("after everything was taken back: %+v", c.Seeding)
	}
}

func TestAFormatIsWrittenByItsOwnReleasesOnly(t *testing.T) {
	armed := node("n2")
	armed.Discover = noon
	keyed := testCluster()
	keyed.Controllers[0].Key = Digest{1}
	seeding := testCluster()
	seeding.Seeding.PauseFile = "/run/job"
	for what, e := range map[string]Entry{
		"discovery":            {Command: ArmDiscovery{Names: []string{"n1"}, Until: noon}},
		"a claim":              {Command: ClaimNode{MAC: mac(9), Network: "boot"}},
		"a join token":         {Command: AddJoinToken{testToken("a")}},
		"a join":               {Command: JoinController{Token: "a", Controller: testController("head2", 2)}},
		"a removal":            {Command: RemoveController{"head1"}},
		"a sealed key":         {Command: SealCAKey{Secret("sealed")}},
		"a condition":          {Command: DeleteNodes{[]string{"n1"}}, If: []Condition{{"node", "n1", 3}}},
		"an armed new node":    {Command: AddNodes{[]Node{armed}}},
		"a controller's key":   {Command: InitCluster{Cluster: keyed}},
		"a cluster's seeding":  {Command: InitCluster{Cluster: seeding}},
		"a seeding":            {Command: SetCluster{Seeding: &SetSeeding{}}},
		"a format of tomorrow": {Command: SetFormat{Format + 1}},
		"an edit":              {Command: edit(t, `{"node":{"name":"n2"}}`)},
		"a user":               {Command: certify("mia", UserViewer, "1", 1), At: noon},
		"a user's removal":     {Command: DeleteUser{"mia"}},
		"a node's tags":        {Command: AddNodes{[]Node{{Name: "n2", Settings: Settings{Tags: map[string]string{"a": "b"}}}}}},
		"a node's profiles":    {Command: AddNodes{[]Node{{Name: "n2", Profiles: []string{"a"}}}}},
		"an interface's mask":  {Command: AddNodes{[]Node{node("n2", Interface{Name: "default", Netmask: 24})}}},
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := EncodeEntry(e, 1); !errors.Is(err, ErrFormat) || !IsRefusal(err) || !strings.Contains(err.Error(), "samara controller list") {
				t.Errorf("encoded for format 1: %v, want ErrFormat and where the versions are shown", err)
			}
			before := start(t)
			after, err := before.Apply(e, before.Revision()+1)
			if !IsRefusal(err) || after.Advance(before.Revision()).Hash() != before.Hash() {
				t.Errorf("applied to a state of format 1: %v, want a refusal that changes nothing", err)
			}
		})
	}
}

// checkSince encodes an entry in a format, and has releases of that format and of the one before read it.
func checkSince(t *testing.T, what string, e Entry, format int) {
	t.Helper()
	b, err := EncodeEntry(e, format)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if _, err := DecodeEntry(b, format-1); !errors.Is(err, ErrUndecodable) {
		t.Errorf("%s: %v, want ErrUndecodable", what, err)
	}
	if _, err := DecodeEntry(b, format); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func TestAnOldReleaseStopsAtWhatItCannotRead(t *testing.T) {
	for what, e := range map[string]Entry{
		"a new kind":  {Command: RemoveController{"head1"}},
		"an id":       {Command: DeleteNodes{[]string{"n1"}}, ID: "r1"},
		"a condition": {Command: DeleteNodes{[]string{"n1"}}, If: []Condition{{"node", "n1", 3}}},
		"holders":     {Command: AddImageVersion{Image: "debian", Version: testVersion(), Holders: []string{"head1"}}},
		"a format":    {Command: SetFormat{2}},
	} {
		checkSince(t, what, e, 2)
	}
	for what, e := range map[string]Entry{
		"a format":                      {Command: SetFormat{4}},
		"an edit":                       {Command: edit(t, `{"node":{"name":"n2"}}`)},
		"a user":                        {Command: certify("mia", UserViewer, "1", 1)},
		"an asset key":                  {Command: AddNodes{[]Node{{Name: "n2", AssetKey: "k"}}}},
		"a condition on a profile":      {Command: DeleteNodes{[]string{"n1"}}, If: []Condition{{"profile", "a", 3}}},
		"a condition on the state":      {Command: DeleteNodes{[]string{"n1"}}, If: []Condition{{"state", "", 3}}},
		"an old command that is packed": {Command: AddNodes{manyNodes(2000)}},
	} {
		checkSince(t, what, e, 4)
	}
	for _, id := range []string{"a b", "a\n", "é", strings.Repeat("a", MaxID+1)} {
		if _, err := EncodeEntry(Entry{Command: DeleteNodes{[]string{"n1"}}, ID: id}, 2); !errors.Is(err, ErrInvalid) {
			t.Errorf("id %q: %v, want ErrInvalid", id, err)
		}
	}
	for what, b := range map[string]string{
		"an id with a blank":     `{"kind":"node.delete","id":"a b","body":{"names":["n1"]}}`,
		"a long id":              `{"kind":"node.delete","id":"` + strings.Repeat("a", MaxID+1) + `","body":{"names":["n1"]}}`,
		"a condition on a blob":  `{"kind":"node.delete","if":[{"kind":"blob","name":"a","revision":1}],"body":{"names":["n1"]}}`,
		"a format of tomorrow":   fmt.Sprintf(`{"kind":"cluster.format","body":{"format":%d}}`, Format+1),
		"a cluster of tomorrow":  fmt.Sprintf(`{"kind":"cluster.init","body":{"cluster":{"name":"c1","format":%d}}}`, Format+1),
		"too many conditions":    `{"kind":"node.delete","if":[` + strings.Repeat(`{"kind":"cluster","revision":1},`, MaxConditions) + `{"kind":"cluster","revision":1}],"body":{}}`,
		"a condition's new word": `{"kind":"node.delete","if":[{"kind":"cluster","revision":1,"not":true}],"body":{}}`,
	} {
		if _, err := DecodeEntry([]byte(b), Format); !errors.Is(err, ErrUndecodable) {
			t.Errorf("%s: %v, want ErrUndecodable", what, err)
		}
	}
}

func TestWhatFormat1CanDoWithoutIsLeftOut(t *testing.T) {
	for _, c := range []Command{
		AddImageVersion{Image: "debian", Version: testVersion(), Holders: []string{"head1"}},
		&SetInitramfs{Image: "debian", Version: 1, Initramfs: blob(7), Holders: []string{"head1"}},
	} {
		e := Entry{Command: c, ID: "r1"}
		b, err := EncodeEntry(e, 1)
		if err != nil || bytes.Contains(b, []byte("holders")) || bytes.Contains(b, []byte("r1")) {
			t.Fatalf("got %s, %v; want neither id nor holders", b, err)
		}
		if _, err := DecodeEntry(b, 1); err != nil {
			t.Error(err)
		}
		s := start(t)
		if _, err := s.Apply(e, s.Revision()+1); err != nil {
			t.Errorf("applied as it is: %v", err)
		}
	}
}

func TestTheFormatOnlyRises(t *testing.T) {
	s := start(t)
	if got := (State{}).Format(); got != 1 || s.Format() != 1 {
		t.Fatalf("formats %d without a cluster and %d in one that says nothing, want 1", got, s.Format())
	}
	b, err := EncodeEntry(Entry{Command: &SetFormat{2}, ID: "r1"}, s.Format())
	if err != nil {
		t.Fatalf("the entry that raises the format: %v", err)
	}
	e, err := DecodeEntry(b, Format)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = s.Apply(e, s.Revision()+1); err != nil || s.Format() != 2 {
		t.Fatalf("format %d, %v; want 2", s.Format(), err)
	}
	if _, ok := s.Outcome("r1"); !ok {
		t.Error("the outcome of the entry that raised the format is not remembered")
	}
	now := s.Hash()
	if s, err = s.Apply(Entry{Command: SetFormat{2}}, s.Revision()); err != nil || s.Hash() != now {
		t.Errorf("raised to where it is: %v, want no change", err)
	}
	if _, err := s.Apply(Entry{Command: SetFormat{1}}, s.Revision()+1); !errors.Is(err, ErrInvalid) {
		t.Errorf("lowered: %v, want ErrInvalid", err)
	}
}

func TestAClusterBeginsInTheFormatOfItsRelease(t *testing.T) {
	cluster := testCluster()
	cluster.Format = Format
	cluster.Controllers[0].Key = Digest{1}
	e := Entry{Command: InitCluster{Cluster: cluster}, ID: "init"}
	b, err := EncodeEntry(e, State{}.Format())
	if err != nil {
		t.Fatal(err)
	}
	if e, err = DecodeEntry(b, Format); err != nil {
		t.Fatal(err)
	}
	s, err := State{}.Apply(e, 1)
	if err != nil || s.Format() != Format {
		t.Errorf("format %d, %v; want %d", s.Format(), err, Format)
	}
	if _, ok := s.Outcome("init"); !ok {
		t.Error("the first outcome is not remembered")
	}
	cluster.Controllers = append(cluster.Controllers, cluster.Controllers[0])
	if _, err := (State{}).Apply(Entry{Command: InitCluster{Cluster: cluster}}, 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("one controller twice: %v, want ErrInvalid", err)
	}
}

func TestSnapshotsSayTheirFormat(t *testing.T) {
	var b bytes.Buffer
	if _, err := start2(t).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(b.String(), "\n")
	if want := `{"samara":"state","format":2}`; head != want {
		t.Errorf("head %s, want %s", head, want)
	}
	for what, c := range map[string]struct{ snapshot, text string }{
		"of a newer release":          {fmt.Sprintf(`{"samara":"state","format":%d}`, Format+1) + "\n" + rest, "install the release that wrote it"},
		"of another thing":            {`{"samara":"backup","format":1}` + "\n" + rest, "not that of a snapshot"},
		"whose format is another":     {`{"samara":"state","format":1}` + "\n" + rest, "its cluster 2"},
		"without a line's end":        {strings.Repeat("x", 1<<16), "not that of a snapshot"},
		"of format 1 with outcomes":   {`{"samara":"state","format":1}` + "\n" + `{"outcome":{"id":"a","revision":1}}`, "format 1 lacks"},
		"with an unknown reason":      {strings.Replace(b.String(), `{"end"`, `{"outcome":{"id":"a","revision":1,"reason":"whim"}}`+"\n"+`{"end"`, 1), "whim"},
		"with one outcome twice":      {strings.Replace(b.String(), `{"end"`, strings.Repeat(`{"outcome":{"id":"a","revision":1}}`+"\n", 2)+`{"end"`, 1), "twice"},
		"with a token without a name": {strings.Replace(b.String(), `{"end"`, `{"token":{"id":"","hash":"","expires":"2026-11-23T12:00:00Z"}}`+"\n"+`{"end"`, 1), "token id"},
	} {
		if _, err := ReadState(strings.NewReader(c.snapshot)); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("a snapshot %s: %v, want ErrSnapshot and %q", what, err, c.text)
		}
	}
}
