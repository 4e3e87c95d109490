package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

func TestAUsersCertificateIsTheOneOfTheState(t *testing.T) {
	a := newCluster(t, "hall3").auth
	public := func() *ecdsa.PublicKey {
		key, _, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		return key.Public().(*ecdsa.PublicKey)
	}
	one, other := public(), public()
	number := func(id string, key *ecdsa.PublicKey) string {
		s, err := UserSerial(id, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	serial := number("r1", one)
	if again, another, elses := number("r1", one), number("r2", one), number("r1", other); again != serial || another == serial || elses == serial {
		t.Errorf("serial numbers: %s, of the same request %s, of another %s, of another key %s", serial, again, another, elses)
	}
	u := fleet.User{Name: "mia", Role: fleet.UserOperator}
	chain, err := a.IssueUser(u, fleet.Certificate{Serial: serial, Issued: noon, Expires: noon.Add(time.Hour)}, one)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(chain)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := CertSubject(cert); err != nil || who != (Subject{RoleOperator, "mia"}) || Serial(cert) != serial || !cert.NotAfter.Equal(noon.Add(time.Hour)) {
		t.Errorf("certificate %s of %s until %s, %v; want %s of operator/mia until %s", Serial(cert), who, cert.NotAfter, err, serial, noon.Add(time.Hour))
	}
}
