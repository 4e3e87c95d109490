package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// certify is a certificate of a user for some hours from noon on.
func certify(name string, role UserRole, serial string, hours int) AddCertificate {
	return AddCertificate{Name: name, Role: role, Serial: serial, Expires: noon.Add(time.Duration(hours) * time.Hour)}
}

// later applies c as ann proposes it, some hours after noon.
func later(s State, hours int, c Command) (State, error) {
	return s.Apply(Entry{Command: c, At: noon.Add(time.Duration(hours) * time.Hour), Who: "admin/ann", Why: "why"}, s.Revision()+1)
}

// serials writes who has which certificates: "mia:1,2 tom:3".
func serials(s State) string {
	var out []string
	for u := range s.Users() {
		var numbers []string
		for _, c := range u.Certificates {
			numbers = append(numbers, c.Serial)
		}
		out = append(out, u.Name+":"+strings.Join(numbers, ","))
	}
	return strings.Join(out, " ")
}

func TestUsersHaveCertificatesUntilTheyEnd(t *testing.T) {
	s := start4(t)
	for _, step := range []struct {
		hours int
		do    Command
		want  string
	}{
		{0, certify("mia", UserOperator, "1", 4), "mia:1"},
		{0, certify("mia", UserOperator, "2", 8), "mia:1,2"},
		{0, certify("tom", UserViewer, "3", 2), "mia:1,2 tom:3"},
		{1, certify("eve", UserAdmin, "4", 9), "eve:4 mia:1,2 tom:3"},
		{2, certify("eve", UserAdmin, "5", 9), "eve:4,5 mia:1,2"},
		{4, DeleteUser{"eve"}, "mia:2"},
		{8, certify("mia", UserViewer, "6", 9), "mia:6"}, // what had ended is nobody's role any more
		{9, DeleteUser{"mia"}, ""},
	} {
		var err error
		if s, err = later(s, step.hours, step.do); err != nil {
			t.Fatalf("%+v: %v", step.do, err)
		}
		if got := serials(s); got != step.want {
			t.Errorf("%d h, after %s: %q, want %q", step.hours, step.do.Kind(), got, step.want)
		}
		s = reread(t, s)
	}
}

func TestACertificateSaysWhoIssuedIt(t *testing.T) {
	s := mustApply(t, start4(t), certify("tom", UserViewer, "3", 2))
	s, err := later(s, 1, certify("tom", UserViewer, "4", 2))
	if err != nil {
		t.Fatal(err)
	}
	u, _ := s.User("tom")
	c, ok := u.Certificate("4")
	if want := (Certificate{Serial: "4", Issued: noon.Add(time.Hour), Expires: noon.Add(2 * time.Hour), By: "admin/ann"}); !ok || c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if _, ok := u.InForce(noon.Add(2 * time.Hour)); ok {
		t.Error("a certificate holds at its end")
	}
	if left, ok := u.InForce(noon.Add(time.Hour)); !ok || len(left.Certificates) != 2 {
		t.Errorf("in force before their end: %+v", left)
	}
}

func TestUsersThatAreRefused(t *testing.T) {
	s := mustApply(t, start4(t), certify("mia", UserOperator, "1", 4))
	full := s
	for i := range MaxCertificates - 1 {
		full = mustApply(t, full, certify("mia", UserOperator, fmt.Sprintf("a%x", i), 4))
	}
	crowd := s
	for i := range MaxUsers - 1 {
		crowd = mustApply(t, crowd, certify(fmt.Sprintf("u%d", i), UserViewer, fmt.Sprintf("b%x", i), 4))
	}
	for what, c := range map[string]struct {
		before State
		do     Command
		want   error
		says   string
	}{
		"another role":         {s, certify("mia", UserAdmin, "2", 4), ErrExists, "samara user delete mia"},
		"a number twice":       {s, certify("mia", UserOperator, "1", 4), ErrExists, "certificate 1 of user mia"},
		"the cluster's own":    {s, certify("admin", UserAdmin, "2", 4), ErrInvalid, "choose the name of a person"},
		"a bad name":           {s, certify("a/b", UserAdmin, "2", 4), ErrInvalid, "bad user name"},
		"no role":              {s, certify("tom", "", "2", 4), ErrInvalid, "want viewer, operator or admin"},
		"a node":               {s, certify("tom", "node", "2", 4), ErrInvalid, "want viewer, operator or admin"},
		"no number":            {s, certify("tom", UserViewer, "", 4), ErrInvalid, "bad serial number"},
		"zeros before it":      {s, certify("tom", UserViewer, "01", 4), ErrInvalid, "bad serial number"},
		"a number in capitals": {s, certify("tom", UserViewer, "AB", 4), ErrInvalid, "bad serial number"},
		"a long number":        {s, certify("tom", UserViewer, strings.Repeat("1", maxSerial+1), 4), ErrInvalid, "bad serial number"},
		"one that has ended":   {s, certify("tom", UserViewer, "2", 0), ErrInvalid, "it ends at"},
		"one without an end":   {s, AddCertificate{Name: "tom", Role: UserViewer, Serial: "2", Expires: noon.AddDate(1000, 0, 0)}, ErrInvalid, "it ends at"},
		"one too many":         {full, certify("mia", UserOperator, "2", 4), ErrInvalid, "at most 16"},
		"a user too many":      {crowd, certify("tom", UserOperator, "2", 4), ErrInvalid, "at most 1000"},
		"a stranger's removal": {s, DeleteUser{"tom"}, ErrNotFound, "samara user list"},
	} {
		t.Run(what, func(t *testing.T) {
			after, err := later(c.before, 0, c.do)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v and %q", err, c.want, c.says)
			}
			if after.Advance(c.before.Revision()).Hash() != c.before.Hash() {
				t.Error("a refusal has changed the state")
			}
		})
	}
	for what, c := range map[string]struct {
		before State
		hours  int
		do     Command
	}{
		"a certificate once others have ended": {full, 4, certify("mia", UserOperator, "2", 8)},
		"a user once others have ended":        {crowd, 4, certify("tom", UserOperator, "2", 8)},
	} {
		if _, err := later(c.before, c.hours, c.do); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestUsersAreNoPartOfTheConfiguration goes back to before a user was deleted.
func TestUsersAreNoPartOfTheConfiguration(t *testing.T) {
	s := mustApply(t, start4(t), certify("mia", UserOperator, "1", 4))
	then := s.Revision()
	hash := s.ConfigHash()
	s, err := later(s, 1, certify("mia", UserOperator, "2", 4))
	if err != nil {
		t.Fatal(err)
	}
	if s, err = later(s, 2, DeleteUser{"mia"}); err != nil {
		t.Fatal(err)
	}
	if s.ConfigHash() != hash {
		t.Error("users are hashed with the configuration")
	}
	if err := s.holds(Condition{Kind: conditionState, Revision: then}); err != nil {
		t.Errorf("a condition on the configuration, after users changed: %v", err)
	}
	if back, err := s.Rollback(then); err != nil || len(back.Puts)+len(back.Deletes) != 0 {
		t.Errorf("Rollback: %+v, %v; want nothing to do", back, err)
	}
	if was, err := s.At(then); err != nil || serials(was) != "" {
		t.Errorf("At: users %q, %v; want those of now", serials(was), err)
	}
	s = mustApply(t, s, edit(t, `{"node":{"name":"n9"}}`))
	if err := s.holds(Condition{Kind: conditionState, Revision: then}); !errors.Is(err, ErrConflict) {
		t.Errorf("a condition on the configuration, after that changed: %v, want ErrConflict", err)
	}
	var told []string
	for r := range reread(t, s).History() {
		if r.User != nil {
			told = append(told, fmt.Sprintf("%s %s %s %s by %s, %s; back %v", r.User.Action, r.User.Name, r.User.Role, r.User.Serial, r.Who, r.Why, r.User.Revoked))
		}
	}
	want := []string{"delete mia operator  by admin/ann, why; back [1 2]", "set mia operator 2 by admin/ann, why; back []", "add mia operator 1 by root, ; back []"}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("the history tells\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func TestFormat3HasNoUsers(t *testing.T) {
	s := mustApply(t, start4(t), certify("mia", UserOperator, "1", 4))
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(line, `"history"`) && !strings.Contains(line, `"past"`) {
			kept = append(kept, strings.NewReplacer(`"format":4`, `"format":3`).Replace(line))
		}
	}
	if _, err := ReadState(strings.NewReader(strings.Join(kept, ""))); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), "format 3 lacks") {
		t.Errorf("a snapshot of format 3 with a user: %v, want ErrSnapshot", err)
	}
}
