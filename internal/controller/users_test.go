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
	u := &users{state: func() fleet.State { return state }, authority: (&keyring{dir: d}).authority, now: func() time.Time { return now }}
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	who := identity.Subject{Role: identity.RoleOperator, Name: "eve"}
	made, err := u.Issue(t.Context(), who, key.Public().(*ecdsa.PublicKey), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(made.Certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cluster.CA)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the cluster's authority does not vouch for it: %v", err)
	}
	if got, err := identity.CertSubject(cert); err != nil || got != who || !cert.NotAfter.Equal(made.Expires) || string(made.CA) != string(cluster.CA) {
		t.Errorf("certificate of %v until %s, %v; want %v until %s", got, cert.NotAfter, err, who, made.Expires)
	}
	state = fleet.State{}
	if _, err := u.Issue(t.Context(), who, key.Public().(*ecdsa.PublicKey), time.Hour); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("without a cluster: %v, want ErrNotFound", err)
	}
}
