package bootagent

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/seeder"
)

// manifestFor returns a manifest whose image holds content.
func manifestFor(t *testing.T, content string) fleet.Manifest {
	t.Helper()
	info, err := seeder.MakeInfo(strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := seeder.ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	m := testManifest()
	m.BootID, m.ClusterID, m.Image, m.Version, m.Torrent, m.Ports = "b1", "c", "debian", 1, info, fleet.DefaultPorts
	m.Root = fleet.Blob{Digest: parsed.Digest, Size: parsed.Size}
	m.Time = time.Now()
	return m
}

func TestCheckManifest(t *testing.T) {
	good := manifestFor(t, "an image")
	for name, tc := range map[string]struct {
		change func(*fleet.Manifest)
		want   string
	}{
		"good":                  {func(*fleet.Manifest) {}, ""},
		"another blob":          {func(m *fleet.Manifest) { m.Root.Digest[0] ^= 1 }, "another blob"},
		"another size":          {func(m *fleet.Manifest) { m.Root.Size++ }, "another blob"},
		"no torrent":            {func(m *fleet.Manifest) { m.Torrent = nil }, "info dictionary"},
		"no boot id":            {func(m *fleet.Manifest) { m.BootID = "" }, "no boot id"},
		"no address":            {func(m *fleet.Manifest) { m.Address = netip.Prefix{} }, "no IPv4 address"},
		"no swarm port":         {func(m *fleet.Manifest) { m.Ports.Swarm = 0 }, "no port"},
		"a name with a newline": {func(m *fleet.Manifest) { m.Node = "n1\nx" }, "name"},
	} {
		t.Run(name, func(t *testing.T) {
			m := good
			tc.change(&m)
			err := checkManifest(m)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestAcceptTakesOverTheAnswer(t *testing.T) {
	l := newLab(t)
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := l.ca.Issue(identity.Subject{Role: identity.RoleNode, Name: "n001"}, key.Public(), nil, time.Now(), identity.NodeLife)
	if err != nil {
		t.Fatal(err)
	}
	a := newAgent(quietLog(), place{})
	a.session = l.session()
	if err := a.accept(key, fleet.EnrollAnswer{Certificate: chain, Manifest: manifestFor(t, "x")}); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(a.renewal); left < 15*time.Hour || left > 16*time.Hour {
		t.Errorf("the certificate is renewed in %s, want two thirds of a day", left)
	}
	if len(a.session.controllers) != 1 || a.session.certificate == nil {
		t.Errorf("controllers %v, certificate %v", a.session.controllers, a.session.certificate)
	}
	other, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.accept(other, fleet.EnrollAnswer{Certificate: chain, Manifest: manifestFor(t, "x")}); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("a certificate for another key: %v", err)
	}
}

func TestRefusedTokenBecomesHopeless(t *testing.T) {
	a := &agent{}
	var never hopeless
	for n := 1; n <= maxRefusals; n++ {
		if err := a.judge(errors.New("connection refused")); errors.As(err, &never) {
			t.Fatal("a controller that cannot be reached made the agent give up")
		}
		if err := a.judge(&refusal{Status: 403}); errors.As(err, &never) != (n == maxRefusals) {
			t.Errorf("refusal %d: %v", n, err)
		}
	}
}

// An agent that follows a dead one has to come with the key that its token was spent with.
func TestEnrollmentOutlivesTheAgent(t *testing.T) {
	name := filepath.Join(t.TempDir(), "enrolled")
	first, err := loadEnrollment(name, "token")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKey(first.Key); err != nil {
		t.Fatal(err)
	}
	first.Answer.Certificate = []byte("cert")
	if err := saveEnrollment(name, first); err != nil {
		t.Fatal(err)
	}
	if again, err := loadEnrollment(name, "token"); err != nil || string(again.Key) != string(first.Key) || string(again.Answer.Certificate) != "cert" {
		t.Errorf("the second agent got %+v, %v", again, err)
	}
	if other, err := loadEnrollment(name, "other"); err != nil || string(other.Key) == string(first.Key) || other.Answer.Certificate != nil {
		t.Errorf("the next boot's token came with the old key: %v", err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v: want mode 0600", info.Mode(), err)
	}
}

func TestClockIsAbsurd(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for local, want := range map[time.Time]bool{
		now: false, now.Add(9 * time.Minute): false, now.Add(-9 * time.Minute): false,
		now.Add(11 * time.Minute): true, now.Add(-11 * time.Minute): true, time.Unix(0, 0): true,
	} {
		if got := clockIsAbsurd(local, now); got != want {
			t.Errorf("clockIsAbsurd(%s) = %v", local, got)
		}
	}
	if clockIsAbsurd(now, time.Time{}) {
		t.Error("a controller that does not say the time makes every clock absurd")
	}
}
