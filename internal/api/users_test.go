package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// issuer issues certificates in the name of a rig's cluster.
type issuer struct {
	*memory
	authority *identity.Authority
}

func (i issuer) Issue(_ context.Context, who identity.Subject, key *ecdsa.PublicKey, life time.Duration) (UserCertificate, error) {
	now := time.Now()
	cluster, _ := i.State().Cluster()
	chain, err := i.authority.Issue(who, key, nil, now, life)
	return UserCertificate{Certificate: chain, CA: cluster.CA, Expires: now.Add(life)}, err
}

func TestAPersonIsLetInWithARole(t *testing.T) {
	rig := newRig(t)
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := rig.local(t).AddUser(t.Context(), UserRequest{Name: "eve", Role: identity.RoleViewer, CSR: csr}, ChangeOptions{Why: "she watches"})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(made.Expires); left > DefaultUserLife || left < DefaultUserLife-time.Hour {
		t.Errorf("a certificate of no stated life lasts for %s, want %s", left, DefaultUserLife)
	}
	pin, err := identity.Pin(made.CA)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(made.Certificate, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	eve := NewClient([]string{rig.address}, pin, certificateOf(&pair))
	t.Cleanup(eve.Close)
	if _, err := eve.Nodes(t.Context()); err != nil {
		t.Errorf("a viewer lists nodes: %v", err)
	}
	_, err = eve.DeleteNodes(t.Context(), []string{"n1"}, ChangeOptions{})
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "viewer/eve") || !strings.Contains(err.Error(), "the role operator") {
		t.Errorf("a viewer deletes a node: %v, want ErrForbidden that says who it is and which role it takes", err)
	}
	if _, err := eve.AddUser(t.Context(), UserRequest{Name: "eve", Role: identity.RoleAdmin, CSR: csr}, ChangeOptions{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a viewer makes an admin: %v, want ErrForbidden", err)
	}
}

func TestNobodyBecomesWhatIsNoPerson(t *testing.T) {
	rig := newRig(t)
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	good := UserRequest{Name: "eve", Role: identity.RoleViewer, CSR: csr}
	for what, c := range map[string]struct {
		edit func(*UserRequest)
		says string
	}{
		"a controller":        {func(r *UserRequest) { r.Role = identity.RoleController }, "want viewer, operator or admin"},
		"a node":              {func(r *UserRequest) { r.Role = identity.RoleNode }, "want viewer, operator or admin"},
		"no role":             {func(r *UserRequest) { r.Role = "" }, "want viewer, operator or admin"},
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
