package controller

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

func TestUsersAreVouchedForByTheCluster(t *testing.T) {
	d, state, _ := initialised(t)
	cluster, _ := state.Cluster()
	now := time.Now()
	u := &users{state: func() fleet.State { return state }, authority: (&keyring{dir: d}).authority}
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	who := fleet.User{Name: "eve", Role: fleet.UserOperator}
	one := fleet.Certificate{Serial: "1f2e", Issued: now, Expires: now.Add(time.Hour).UTC().Truncate(time.Second)}
	chain, ca, err := u.Issue(who, one, key.Public().(*ecdsa.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(chain)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cluster.CA)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the cluster's authority does not vouch for it: %v", err)
	}
	want := identity.Subject{Role: identity.RoleOperator, Name: "eve"}
	if got, err := identity.CertSubject(cert); err != nil || got != want || string(ca) != string(cluster.CA) {
		t.Errorf("certificate of %v, %v; want %v", got, err, want)
	}
	if got := identity.Serial(cert); got != one.Serial || !cert.NotAfter.Equal(one.Expires) {
		t.Errorf("number %s until %s, want %s until %s", got, cert.NotAfter, one.Serial, one.Expires)
	}
	if _, _, err := u.Issue(who, fleet.Certificate{Serial: "no number"}, key.Public().(*ecdsa.PublicKey)); err == nil {
		t.Error("a certificate was issued whose number is none")
	}
	state = fleet.State{}
	if _, _, err := u.Issue(who, one, key.Public().(*ecdsa.PublicKey)); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("without a cluster: %v, want ErrNotFound", err)
	}
}
