package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// issuer issues certificates in the name of a rig's cluster.
type issuer struct {
	ca        []byte
	authority *identity.Authority
}

func (i issuer) Issue(u fleet.User, c fleet.Certificate, key *ecdsa.PublicKey) (certificate, ca []byte, err error) {
	chain, err := i.authority.IssueUser(u, c, key)
	return chain, i.ca, err
}

// A person is who has a key, and the certificates that they were given for it.
type person struct {
	csr    []byte
	keyPEM []byte
}

func newPerson(t *testing.T) person {
	t.Helper()
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return person{csr, keyPEM}
}

// client returns a client over TLS that shows what p was given.
func (p person) client(t *testing.T, rig *rig, made UserCertificate) *Client {
	t.Helper()
	pin, err := identity.Pin(made.CA)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(made.Certificate, p.keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if got := identity.Serial(pair.Leaf); got != made.Serial || !pair.Leaf.NotAfter.Equal(made.Expires) {
		t.Errorf("a certificate of number %s until %s, want %s until %s", got, pair.Leaf.NotAfter, made.Serial, made.Expires)
	}
	c := NewClient([]string{rig.address}, pin, certificateOf(&pair))
	t.Cleanup(c.Close)
	return c
}

// letIn makes a user, and returns a client as they have it.
func letIn(t *testing.T, rig *rig, name string, role fleet.UserRole) *Client {
	t.Helper()
	p := newPerson(t)
	made, err := rig.local(t).AddUser(t.Context(), UserRequest{Name: name, Role: role, CSR: p.csr}, ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p.client(t, rig, made)
}

func TestAPersonIsLetInWithARole(t *testing.T) {
	rig := newRig(t)
	p := newPerson(t)
	made, err := rig.local(t).AddUser(t.Context(), UserRequest{Name: "eve", Role: fleet.UserViewer, CSR: p.csr}, ChangeOptions{Why: "she watches"})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(made.Expires); left > DefaultUserLife || left < DefaultUserLife-time.Hour {
		t.Errorf("a certificate of no stated life lasts for %s, want %s", left, DefaultUserLife)
	}
	if e := rig.last(t); e.Who != localWho || e.Why != "she watches" || made.Revision != rig.State().Revision() {
		t.Errorf("audit record %q %q, certificate since revision %d", e.Who, e.Why, made.Revision)
	}
	eve := p.client(t, rig, made)
	if _, err := eve.Nodes(t.Context()); err != nil {
		t.Errorf("a viewer lists nodes: %v", err)
	}
	_, err = eve.DeleteNodes(t.Context(), []string{"n1"}, ChangeOptions{})
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "viewer/eve") || !strings.Contains(err.Error(), "the role operator") {
		t.Errorf("a viewer deletes a node: %v, want ErrForbidden that says who it is and which role it takes", err)
	}
	if _, err := eve.AddUser(t.Context(), UserRequest{Name: "eve", Role: fleet.UserAdmin, CSR: p.csr}, ChangeOptions{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a viewer makes an admin: %v, want ErrForbidden", err)
	}
	if _, err := eve.DeleteUser(t.Context(), "eve", ChangeOptions{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a viewer deletes a user: %v, want ErrForbidden", err)
	}
	history, err := eve.History(t.Context(), HistoryQuery{Limit: 1})
	if err != nil || len(history) != 1 || history[0].Why != "she watches" || history[0].User == nil || history[0].User.Name != "eve" || history[0].User.Serial != made.Serial {
		t.Errorf("History: %+v, %v; want that eve was added, and why", history, err)
	}
	users, err := eve.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].Name != "eve" || len(users[0].Certificates) != 1 || users[0].Certificates[0].By != localWho {
		t.Errorf("Users: %+v, %v; want eve, with one certificate that root has issued", users, err)
	}
}

// TestADeletedUserIsRefused deletes a user who has two connections open, one of which watches.
func TestADeletedUserIsRefused(t *testing.T) {
	rig := newRig(t)
	mia := letIn(t, rig, "mia", fleet.UserOperator)
	again := letIn(t, rig, "mia", fleet.UserOperator)
	ann := letIn(t, rig, "ann", fleet.UserAdmin)
	if _, err := mia.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	watching, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var once sync.Once
		ended <- mia.Watch(t.Context(), WatchOptions{}, func(l WatchLine) error {
			once.Do(func() { close(watching) })
			if len(l.Changed) > 0 {
				return fmt.Errorf("she was told of %+v", l.Changed)
			}
			return nil
		})
	}()
	<-watching
	if got, err := ann.DeleteUser(t.Context(), "mia", ChangeOptions{DryRun: true}); err != nil || len(got.Changed) != 1 {
		t.Fatalf("DeleteUser, dry: %+v, %v", got, err)
	}
	if _, err := mia.Status(t.Context()); err != nil {
		t.Fatalf("Status after a dry run: %v", err)
	}
	got, err := ann.DeleteUser(t.Context(), "mia", ChangeOptions{Why: "she has left"})
	if err != nil || len(got.Changed) != 1 || got.Changed[0].Kind != "user" || got.Changed[0].Action != "delete" {
		t.Fatalf("DeleteUser: %+v, %v", got, err)
	}
	setRack(t, rig.memory, "r1")
	for what, c := range map[string]*Client{"the connection that was open": mia, "her other certificate": again} {
		if _, err := c.Status(t.Context()); !errors.Is(err, identity.ErrRevoked) || !strings.Contains(err.Error(), "samara user add mia --role operator") {
			t.Errorf("%s: %v, want ErrRevoked and what to do", what, err)
		}
	}
	if err := <-ended; !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("the watch ended with %v, want ErrRevoked", err)
	}
	if _, err := ann.DeleteUser(t.Context(), "mia", ChangeOptions{}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("DeleteUser once more: %v, want ErrNotFound", err)
	}
	letIn(t, rig, "mia", fleet.UserViewer)
	if _, err := mia.Status(t.Context()); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("with the old certificate, after she was added again: %v, want ErrRevoked", err)
	}
	if _, err := ann.Status(t.Context()); err != nil {
		t.Errorf("the other user: %v", err)
	}
}

// TestRequestsEndWithTheirUser deletes the user of an import of which no more comes.
func TestRequestsEndWithTheirUser(t *testing.T) {
	rig := newRig(t)
	begun := make(chan struct{})
	rig.imports = func(ctx context.Context, r ImportRequest, _ func(Progress)) (fleet.ImageVersion, error) {
		close(begun)
		_, err := io.Copy(io.Discard, r.Stream)
		return fleet.ImageVersion{}, err
	}
	mia := letIn(t, rig, "mia", fleet.UserOperator)
	pr, pw := io.Pipe()
	defer func() { _ = pw.Close() }()
	ended := make(chan error, 1)
	go func() {
		_, err := mia.ImportImage(t.Context(), "noble", Source{Stream: pr, Name: "a pipe"}, "", func(Progress) {})
		ended <- err
	}()
	<-begun
	if _, err := rig.local(t).DeleteUser(t.Context(), "mia", ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("the import ended with %v, want ErrRevoked", err)
	}
}

// TestALostAnswerLeavesNoCertificate asks twice with one id, as a client does whose controller died.
func TestALostAnswerLeavesNoCertificate(t *testing.T) {
	late := time.Duration(0)
	rig := newRig(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(late) } })
	p := newPerson(t)
	ask := func() UserCertificate {
		t.Helper()
		made, err := rig.local(t).AddUser(t.Context(), UserRequest{Name: "eve", Role: fleet.UserViewer, CSR: p.csr, Life: 3600}, ChangeOptions{RequestID: "once"})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	first := ask()
	late = time.Minute
	second := ask()
	if first.Serial != second.Serial || !first.Expires.Equal(second.Expires) || first.Revision != second.Revision {
		t.Errorf("first %s until %s, then %s until %s; want one certificate", first.Serial, first.Expires, second.Serial, second.Expires)
	}
	for _, made := range []UserCertificate{first, second} {
		if _, err := p.client(t, rig, made).Status(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if u, _ := rig.State().User("eve"); len(u.Certificates) != 1 {
		t.Errorf("the state has %d certificates, want 1", len(u.Certificates))
	}
	if _, err := rig.local(t).DeleteUser(t.Context(), "eve", ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.local(t).AddUser(t.Context(), UserRequest{Name: "eve", Role: fleet.UserViewer, CSR: p.csr}, ChangeOptions{RequestID: "once"}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("asked again after she was deleted: %v, want ErrConflict", err)
	}
}

// TestAReplicaThatLagsAsks has a controller that has not heard yet what the leader knows.
func TestAReplicaThatLagsAsks(t *testing.T) {
	rig := newRig(t)
	old := rig.State()
	mia := letIn(t, rig, "mia", fleet.UserOperator)
	rack := "r1"
	set := fleet.SetNodes{Names: []string{"n1"}, Rack: &rack}
	lag := func(here, newest fleet.State) {
		rig.mu.Lock()
		defer rig.mu.Unlock()
		rig.state, rig.readAs = here, &newest
	}
	added := rig.State()
	lag(old, added)
	if _, err := mia.Status(t.Context()); err != nil {
		t.Errorf("a user who is new: %v", err)
	}
	lag(added, added)
	propose(t, rig.memory, fleet.DeleteUser{Name: "mia"})
	gone := rig.State()
	lag(added, gone)
	if _, err := mia.SetNodes(t.Context(), set, ChangeOptions{}); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("a change of a user who was deleted: %v, want ErrRevoked", err)
	}
	if _, err := mia.Nodes(t.Context()); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("a read of a user who was deleted: %v, want ErrRevoked", err)
	}
	rig.mu.Lock()
	rig.unread = ErrUnavailable
	rig.mu.Unlock()
	mia.Consistency = Stale
	if _, err := mia.Nodes(t.Context()); err != nil {
		t.Errorf("where nobody leads, what this replica knows counts: %v", err)
	}
	lag(gone, gone)
	if _, err := mia.Nodes(t.Context()); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("where nobody leads, of a user who was deleted: %v, want ErrRevoked", err)
	}
}

func TestUsersAreNoConfiguration(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	before := rig.State().Revision()
	letIn(t, rig, "mia", fleet.UserOperator)
	if _, err := c.Edit(t.Context(), putNodes(fleet.Node{Name: "n2"}), ChangeOptions{If: []fleet.Condition{IfRevision(before)}}); err != nil {
		t.Errorf("an edit of what was read before a user came: %v", err)
	}
	told, err := c.Compare(t.Context(), before, before+1)
	if err != nil || len(told.Changed) != 0 {
		t.Errorf("Compare: %+v, %v; want no difference", told, err)
	}
	if _, err := c.DeleteUser(t.Context(), "mia", ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rollback(t.Context(), before+1, ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if users, err := c.Users(t.Context()); err != nil || len(users) != 0 {
		t.Errorf("Users after a rollback: %+v, %v; want that nobody came back", users, err)
	}
}

func TestNobodyBecomesWhatIsNoPerson(t *testing.T) {
	rig := newRig(t)
	csr := newPerson(t).csr
	good := UserRequest{Name: "eve", Role: fleet.UserViewer, CSR: csr}
	for what, c := range map[string]struct {
		edit func(*UserRequest)
		says string
	}{
		"a controller":        {func(r *UserRequest) { r.Role = "controller" }, "want viewer, operator or admin"},
		"a node":              {func(r *UserRequest) { r.Role = "node" }, "want viewer, operator or admin"},
		"no role":             {func(r *UserRequest) { r.Role = "" }, "want viewer, operator or admin"},
		"the cluster's own":   {func(r *UserRequest) { r.Name = "admin" }, "the cluster's own identity has it"},
		"a path for a name":   {func(r *UserRequest) { r.Name = "../eve" }, "bad user name"},
		"a long life":         {func(r *UserRequest) { r.Life = int64(MaxUserLife/time.Second) + 1 }, "want at most"},
		"a life that is over": {func(r *UserRequest) { r.Life = -1 }, "want at most"},
		"no key":              {func(r *UserRequest) { r.CSR = nil }, "certificate request"},
		"a request that lies": {func(r *UserRequest) { r.CSR = append([]byte{}, csr...); r.CSR[len(csr)-1] ^= 1 }, "certificate request"},
	} {
		bad := good
		c.edit(&bad)
		_, err := rig.local(t).AddUser(t.Context(), bad, ChangeOptions{})
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want ErrInvalid and %q", what, err, c.says)
		}
	}
}
