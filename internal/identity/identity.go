// Package identity says who a peer is: the cluster's certificate authority, the certificates it issues to controllers,
// nodes and users, TLS configurations that demand them, and the boot tokens that let a machine ask for its first.
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A Role is what a certificate lets its holder be.
type Role string

// The roles. A user's name says nothing of what the user may do: routes ask for the role.
const (
	RoleController Role = "controller"
	RoleNode       Role = "node"
	RoleAdmin      Role = Role(fleet.UserAdmin)    // may do everything that people may
	RoleOperator   Role = Role(fleet.UserOperator) // may change what nodes run, and so is root on them, but not who else may do what
	RoleViewer     Role = Role(fleet.UserViewer)   // may see all but secrets
)

// IsPerson reports whether r is a role that people have.
func (r Role) IsPerson() bool { return r == RoleAdmin || r == RoleOperator || r == RoleViewer }

// A Subject is who a certificate was issued to.
type Subject struct {
	Role Role
	Name string
}

// String returns "role/name", as audit records have it.
func (s Subject) String() string { return string(s.Role) + "/" + s.Name }

// Lifetimes of certificates. Nodes and controllers renew their own at two thirds of its life.
const (
	caLife         = 20 * 365 * 24 * time.Hour
	ControllerLife = 90 * 24 * time.Hour
	AdminLife      = 365 * 24 * time.Hour
	NodeLife       = 24 * time.Hour
	backdate       = time.Hour // tolerance for clocks that lag behind the issuer's
)

// ErrNotTrusted means that a peer's certificate is missing, foreign, expired or for another role.
var ErrNotTrusted = errors.New("not trusted")

// An Authority issues a cluster's certificates.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	der  []byte
}

// NewAuthority makes a fresh authority for a cluster, and returns its certificate and key in PEM.
func NewAuthority(cluster string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Samara cluster " + cluster},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	keyPEM, err = encodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	return encodeCert(der), keyPEM, nil
}

// ParseAuthority reads what NewAuthority returned.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("cluster authority: %w", err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("cluster authority: not a certificate authority with its key")
	}
	return &Authority{cert: pair.Leaf, key: signer, der: pair.Certificate[0]}, nil
}

// Issue returns a PEM chain, leaf first and authority last, that vouches for subject until now+life. Addresses are
// put into controllers' certificates, where clients that check names look for them.
func (a *Authority) Issue(subject Subject, public crypto.PublicKey, addresses []netip.Addr, now time.Time, life time.Duration) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := newLeaf(subject, serial, now, now.Add(life))
	if subject.Role == RoleController {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		t.DNSNames = []string{subject.Name}
		for _, ip := range addresses {
			t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
		}
	}
	return a.sign(subject, t, public)
}

// newLeaf returns a certificate to sign for who only calls.
func newLeaf(subject Subject, serial *big.Int, from, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: subject.String()},
		URIs:         []*url.URL{{Scheme: "samara", Host: string(subject.Role), Path: "/" + subject.Name}},
		NotBefore:    from.Add(-backdate),
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func (a *Authority) sign(subject Subject, t *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", subject, err)
	}
	return append(encodeCert(der), encodeCert(a.der)...), nil
}

// NewKey makes a private key and returns it with its PEM form.
func NewKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	keyPEM, err := encodeKey(key)
	return key, keyPEM, err
}

// ParseKey reads a private key that NewKey returned in PEM.
func ParseKey(keyPEM []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("private key: not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("private key: want ECDSA")
	}
	return signer, nil
}

// NewRequest returns a DER certificate request for key. Its subject is empty: the issuer decides it.
func NewRequest(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// RequestKey checks a certificate request's signature and returns its public key. Only P-256 keys are taken.
func RequestKey(der []byte) (*ecdsa.PublicKey, error) {
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("certificate request: want an ECDSA P-256 key")
	}
	return key, nil
}

// Pin returns the SHA-256 of a PEM certificate's public key, in hexadecimal, as samara.ca= on the kernel's command
// line has it.
func Pin(certPEM []byte) (string, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return "", errors.New("certificate: not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	return pinOf(cert), nil
}

func pinOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// ServerConfig returns TLS settings for a controller's port. Clients may come without a certificate; one that they
// show must be the authority's. Callers ask PeerSubject who came.
func ServerConfig(caPEM []byte, certificate func() (*tls.Certificate, error), protocols []string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(caPEM) {
		return nil, errors.New("cluster authority: not a PEM certificate")
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     protocols,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
	}, nil
}

// ClientConfig returns TLS settings that accept only a controller whose certificate is signed by the authority whose
// key has that pin. certificate may be nil. now says what time it is: a node whose clock is absurd passes a clock that
// accepts any certificate, and sets its own clock afterwards.
func ClientConfig(pin string, certificate func() (*tls.Certificate, error), protocols []string, now func() time.Time) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols,
		// The standard check wants a root of the system's. VerifyConnection below is stricter, and runs always.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyPinned(s.PeerCertificates, pin, now())
		},
	}
	if certificate != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() }
	}
	return c
}

// verifyPinned accepts a chain whose root has the pin, whose leaf that root signed for a controller, valid at now.
// A zero now means that the clock is not known: the leaf is then judged at the start of its own validity.
func verifyPinned(chain []*x509.Certificate, pin string, now time.Time) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: the peer showed no certificate", ErrNotTrusted)
	}
	pool := x509.NewCertPool()
	found := false
	for _, c := range chain[1:] {
		if c.IsCA && pinOf(c) == pin {
			pool.AddCert(c)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%w: the peer belongs to another cluster (its authority does not match samara.ca)", ErrNotTrusted)
	}
	leaf := chain[0]
	if now.IsZero() {
		now = leaf.NotBefore.Add(time.Second)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotTrusted, err)
	}
	subject, err := CertSubject(leaf)
	if err != nil {
		return err
	}
	if subject.Role != RoleController {
		return fmt.Errorf("%w: the peer is %s, not a controller", ErrNotTrusted, subject)
	}
	return nil
}

// PeerSubject returns who the client of a finished handshake with ServerConfig is. Its error wraps ErrNotTrusted if
// the client showed no certificate.
func PeerSubject(s *tls.ConnectionState) (Subject, error) {
	if s == nil || len(s.VerifiedChains) == 0 {
		return Subject{}, fmt.Errorf("%w: the peer showed no certificate", ErrNotTrusted)
	}
	return CertSubject(s.VerifiedChains[0][0])
}

// CertSubject reads who a certificate, already verified, was issued to.
func CertSubject(c *x509.Certificate) (Subject, error) {
	for _, u := range c.URIs {
		if u.Scheme == "samara" {
			return Subject{Role: Role(u.Host), Name: strings.TrimPrefix(u.Path, "/")}, nil
		}
	}
	return Subject{}, fmt.Errorf("%w: certificate without a samara subject", ErrNotTrusted)
}

// serialSize is how long serial numbers are, in bytes: chosen so that they are unique without being looked up.
const serialSize = 15

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 8*serialSize))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
