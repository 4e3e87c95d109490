package bootagent

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/seeder"
)

// maxRefusals is how often a boot token may be refused before the machine is booted again for another.
const maxRefusals = 3

// An enrollment is what outlives an agent that dies before the switch: a boot token is spent by the first key that it
// came with, so the next agent must come with the same.
type enrollment struct {
	Token  string             `json:"token"`
	Key    []byte             `json:"key"` // PEM
	Answer fleet.EnrollAnswer `json:"answer,omitzero"`
}

// enroll trades the boot token for the node's certificate and manifest.
func (a *agent) enroll(ctx context.Context) (string, error) {
	if err := a.place.prepare(); err != nil {
		return "", err
	}
	e, err := loadEnrollment(a.place.enrollment(), a.line.Token)
	if err != nil {
		return "", err
	}
	key, err := parseKey(e.Key)
	if err != nil {
		return "", err
	}
	if e.Answer.Certificate == nil {
		csr, err := identity.NewRequest(key)
		if err != nil {
			return "", err
		}
		if err := a.session.call(ctx, fleet.AgentEnrollPath, fleet.EnrollRequest{Token: a.line.Token, CSR: csr}, &e.Answer); err != nil {
			return "", a.judge(err)
		}
		if said := e.Answer.Manifest.Time; !said.IsZero() {
			a.session.setClock(said) // an answer that an earlier agent left says how late it was then
		}
	}
	if err := a.accept(key, e.Answer); err != nil {
		return "", err
	}
	if err := saveEnrollment(a.place.enrollment(), e); err != nil {
		return "", err
	}
	m := a.manifest
	return fmt.Sprintf("node %s boots %s version %d (boot %s)", m.Node, m.Image, m.Version, m.BootID), nil
}

// judge counts refusals of the boot token, and says when to stop asking.
func (a *agent) judge(err error) error {
	var no *refusal
	if !errors.As(err, &no) || (no.Status != http.StatusUnauthorized && no.Status != http.StatusForbidden) {
		return err
	}
	if a.refusals++; a.refusals < maxRefusals {
		return err
	}
	return hopeless{err}
}

// accept takes over an answer: the manifest, the certificate and, if this machine's clock is absurd, the time.
func (a *agent) accept(key crypto.Signer, answer fleet.EnrollAnswer) error {
	m := answer.Manifest
	if err := checkManifest(m); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if a.place.machine && clockIsAbsurd(time.Now(), m.Time) {
		a.log.Warn(fmt.Sprintf("the clock says %s; setting it to the controller's %s",
			time.Now().UTC().Format(time.RFC3339), m.Time.UTC().Format(time.RFC3339)))
		if err := setClock(m.Time); err != nil {
			return err
		}
	}
	certificate, renewal, err := pair(answer.Certificate, key, a.session.now())
	if err != nil {
		return err
	}
	a.key, a.manifest, a.renewal = key, m, renewal
	a.session.use(certificate)
	a.session.learn(m.Controllers)
	a.roster.learn(m.Roster)
	a.policy.learn(m.Seeding, m.Reseed)
	if own := a.place.address; own.IsValid() && own != m.Address.Addr() {
		a.log.Warn(fmt.Sprintf("this machine's address is %s, but the plan for this node says %s; using the former", own, m.Address.Addr()))
	}
	a.once.Do(func() { close(a.enrolled) })
	return nil
}

// checkManifest refuses what the steps to come could not work with.
func checkManifest(m fleet.Manifest) error {
	info, err := seeder.ParseInfo(m.Torrent)
	switch {
	case err != nil:
		return err
	case m.Root.IsZero() || info.Digest != m.Root.Digest || info.Size != m.Root.Size:
		return errors.New("its torrent is of another blob than its image")
	case m.BootID == "" || m.ClusterID == "":
		return errors.New("no boot id or no cluster id")
	case !m.Address.Addr().Is4():
		return errors.New("no IPv4 address")
	case m.Ports.Swarm == 0 || m.Ports.Gossip == 0:
		return errors.New("no port for the swarm or for gossip")
	}
	return fleet.CheckName("node", m.Node)
}

// pair joins a certificate with its key, and says when two thirds of what is left of its life will be over. now is the
// time in the cluster; the answer has a monotonic reading.
func pair(certPEM []byte, key crypto.Signer, now time.Time) (*tls.Certificate, time.Time, error) {
	fail := func(err error) (*tls.Certificate, time.Time, error) {
		return nil, time.Time{}, fmt.Errorf("certificate from the controller: %w", err)
	}
	c := &tls.Certificate{PrivateKey: key}
	for {
		var block *pem.Block
		if block, certPEM = pem.Decode(certPEM); block == nil {
			break
		}
		c.Certificate = append(c.Certificate, block.Bytes)
	}
	if c.Certificate == nil {
		return fail(errors.New("not PEM"))
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return fail(err)
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); !ok || !public.Equal(leaf.PublicKey) {
		return fail(errors.New("it is for another key"))
	}
	c.Leaf = leaf
	return c, time.Now().Add(leaf.NotAfter.Sub(now) * 2 / 3), nil
}

// loadEnrollment returns what an earlier agent of this boot left, or a new key.
func loadEnrollment(name, token string) (enrollment, error) {
	text, err := readBounded(name, 2*fleet.MaxAgentAnswer)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return enrollment{}, err
	}
	var e enrollment
	if err == nil && json.Unmarshal(text, &e) == nil && e.Token == token {
		return e, nil
	}
	_, key, err := identity.NewKey()
	if err != nil {
		return enrollment{}, err
	}
	e = enrollment{Token: token, Key: key}
	return e, saveEnrollment(name, e)
}

func saveEnrollment(name string, e enrollment) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("save the enrollment: %w", err)
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return fmt.Errorf("save the enrollment: %w", err)
	}
	return os.Rename(name+".new", name)
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("saved key: not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("saved key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("saved key: cannot sign")
	}
	return signer, nil
}
