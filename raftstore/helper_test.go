package raftstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/samara-hpc/samara/fleet"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(runChild(dir))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(forgottenFuture))
}

// forgottenFuture is where a goroutine of Store.await stays when Raft has forgotten its future: one that stands in the
// queue of Raft's state machine, or of its leader, when Raft is shut down is answered by nobody (hashicorp/raft issue 498).
// The store itself does not wait for those: a call that did would hang its test.
const forgottenFuture = "github.com/hashicorp/raft.(*deferError).Error"

// An authority signs certificates for tests. The subject's common name stands for the role.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert: cert, key: key, pool: pool}, nil
}

// config returns TLS settings for both ends of a connection.
func (a *authority) config(role string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var hosts []net.IP
	for i := range byte(16) {
		hosts = append(hosts, net.IPv4(127, 0, 0, i+1))
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: role},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: hosts,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: a.pool, ClientCAs: a.pool, ClientAuth: tls.VerifyClientCertIfGiven,
		NextProtos: []string{"http/1.1", ALPN}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}

func authorizeController(s tls.ConnectionState) error {
	if len(s.VerifiedChains) == 0 || s.VerifiedChains[0][0].Subject.CommonName != "controller" {
		return errors.New("not a controller")
	}
	return nil
}

// A handshaker delivers connections whose handshake is done, as the control port does.
type handshaker struct {
	net.Listener
	config *tls.Config
}

func (h handshaker) Accept() (net.Conn, error) {
	for {
		c, err := h.Listener.Accept()
		if err != nil {
			return nil, err
		}
		t := tls.Server(c, h.config)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = t.HandshakeContext(ctx)
		cancel()
		if err == nil {
			return t, nil
		}
		_ = c.Close()
	}
}

// newTestStream listens on a loopback port; address "" picks a free one, and so does port 0.
func newTestStream(a *authority, address string) (*Stream, error) {
	config, err := a.config("controller")
	if err != nil {
		return nil, err
	}
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return NewStream(handshaker{&swamp{Listener: l}, config}, l.Addr(), config, authorizeController), nil
}

// fast makes elections quick; the defaults are for machines that do other work too.
func fast(c Config) Config {
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaseTimeout = 150*time.Millisecond, 150*time.Millisecond, 100*time.Millisecond
	return c
}

// open opens a store with a stream of its own.
func open(dir, id string, a *authority, change func(*Config)) (*Store, error) {
	stream, err := newTestStream(a, "")
	if err != nil {
		return nil, err
	}
	c := fast(Config{Dir: dir, ID: id, Address: stream.Addr().String(), Stream: stream})
	if change != nil {
		change(&c)
	}
	return Open(c)
}

// A running is a store whose Run is under way.
type running struct {
	*Store
	cancel context.CancelFunc
	done   chan error // what Run returned
}

func start(s *Store) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Store: s, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	return r
}

// stop ends Run and fails the test if it returned an error.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := awaitRun(t, r); err != nil {
		t.Errorf("Run of store %s: %v", r.config.ID, err)
	}
}

// awaitRun returns what Run returns.
func awaitRun(t *testing.T, r *running) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-testContext(t).Done():
		t.Fatalf("Run of store %s does not return", r.config.ID)
		return nil
	}
}

func testAuthority(t *testing.T) *authority {
	t.Helper()
	a, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// startSingle opens the only controller of a cluster, bootstraps it if it is new, and waits until it leads.
func startSingle(t *testing.T, dir string, change func(*Config)) *running {
	t.Helper()
	s, err := open(dir, "c1", testAuthority(t), change)
	if err != nil {
		t.Fatal(err)
	}
	if s.Status().Last == 0 {
		if err := s.Bootstrap(); err != nil {
			t.Fatal(err)
		}
	}
	r := start(s)
	if err := r.WaitLeader(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

// testContext ends well before the test is killed.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// addNode is an entry that adds one node.
func addNode(name string) fleet.Entry {
	return fleet.Entry{
		Command: fleet.AddNodes{Nodes: []fleet.Node{{Name: name}}},
		At:      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Who: "test",
	}
}

// mustAdd proposes n nodes with that prefix, one after another.
func mustAdd(t *testing.T, s *Store, prefix string, n int) fleet.Revision {
	t.Helper()
	var last fleet.Revision
	for i := range n {
		rev, err := s.Propose(testContext(t), addNode(fmt.Sprintf("%s%d", prefix, i)))
		if err != nil {
			t.Fatalf("propose %s%d: %v", prefix, i, err)
		}
		last = rev
	}
	return last
}
