package ha

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// disaster is the life of a cluster that is lost, and comes back from a backup, and from one controller.
type disaster struct {
	*site
	heads  []*head
	backup string
	blobs  []fleet.Blob
}

func TestClustersComeBack(t *testing.T) {
	t.Parallel()
	d := &disaster{site: newSite(t, "samara-ha-disaster")}
	d.backup = filepath.Join(d.dir, "backup.tar")
	run(t, []stage{
		{"three controllers hold something", d.furnish},
		{"any controller makes a backup", d.backUp},
		{"a backup that is not whole is refused", d.truncated},
		{"a cluster comes back from its backup", d.restore},
		{"one controller that is left goes on alone", d.recover},
		{"others join it", d.rejoin},
		{"the lost ones do no harm", d.lostOnes},
	})
}

func (d *disaster) furnish(t *testing.T) {
	file := d.smallDebian(t)
	d.heads = d.form(t, 3)
	d.heads[0].samara(t, "image", "import", file, "debian")
	d.heads[2].samara(t, "node", "add", "n[1-3]", "--image", "debian")
	// A controller that starts without the others shows what it knows to be committed: not the very last changes.
	d.heads[1].samara(t, "network", "add", "ipmi", "--subnet", "10.99.0.0/24", "--dhcp", "off")
	d.heads[1].samara(t, "network", "set", "ipmi", "--gateway", "10.99.0.1")
	d.blobs = d.heads[0].blobsOf(t, "debian")
	for _, h := range d.heads {
		d.heads[0].holding(t, h, d.blobs, time.Now())
	}
}

func (d *disaster) backUp(t *testing.T) {
	_, others := leaderOf(t, d.heads...)
	s := others[0].says(t, "backup", d.backup, "--blobs")
	if s.status != 0 || !strings.Contains(s.out, "wrote backup "+d.backup) || !strings.Contains(s.stderr, "it holds the cluster's keys") {
		t.Fatalf("backup: %v", s)
	}
	if info, err := os.Stat(d.backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v; want it for its owner alone", info, err)
	}
	into := filepath.Join(d.dir, "unpacked")
	if err := os.Mkdir(into, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := others[0].Host.Output(t.Context(), "sh", "-euc", `cd "$1"; tar xf "$2"; sha256sum --quiet --strict -c SHA256SUMS`, "sh", into, d.backup); err != nil {
		t.Errorf("as docs/ha.md unpacks it: %v", err)
	}
	others[0].refused(t, 2, []string{"no regular file"}, "backup", into)
}

// restoring returns the command line that makes h the controller of the cluster in a backup.
func (h *head) restoring(file string, flags ...string) []string {
	return append([]string{"restore", file, "--dir", h.Dir, "--id", h.Host.ID, "--address", h.Host.Address.String()}, flags...)
}

func (d *disaster) truncated(t *testing.T) {
	whole, err := os.ReadFile(d.backup)
	if err != nil {
		t.Fatal(err)
	}
	fresh := d.head(t, 4)
	part := filepath.Join(d.dir, "part.tar")
	for _, size := range []int{0, 700, len(whole) / 2, len(whole) - 4096} {
		if err := os.WriteFile(part, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		fresh.refused(t, 1, []string{"part.tar", "not a whole backup"}, fresh.restoring(part)...)
	}
	fresh.refused(t, 1, []string{"no such file"}, fresh.restoring(part+".none")...)
	fresh.refused(t, 2, []string{"10.77.0.99", "not one of this machine's"}, fresh.restoring(d.backup, "--address", "10.77.0.99")...)
	d.heads[0].refused(t, 2, []string{"already exists", "head1 of cluster hall", "move that directory away"}, d.heads[0].restoring(d.backup)...)
	if exists(t, fresh.Dir) {
		t.Errorf("what was refused made %s", fresh.Dir)
	}
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(part, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	fresh.refused(t, 1, []string{"part.tar", "not a whole backup"}, fresh.restoring(part)...)
}

func (d *disaster) restore(t *testing.T) {
	for _, h := range d.heads {
		h.Kill()
	}
	fresh, further := d.head(t, 4), d.head(t, 5)
	for _, words := range []string{"would restore  cluster hall", "3 nodes, 1 image, 2 networks", "head4 at 10.77.0.4, the only one", "head1, head2, head3"} {
		if out := fresh.samara(t, fresh.restoring(d.backup, "--dry-run")...); !strings.Contains(out, words) {
			t.Errorf("the dry run lacks %q:\n%s", words, out)
		}
	}
	if exists(t, fresh.Dir) {
		t.Fatal("a dry run has made a directory")
	}
	fresh.samara(t, fresh.restoring(d.backup)...)
	fresh.serve(t)
	if got := fresh.nodes(t); !slices.Equal(got, []string{"n1", "n2", "n3"}) {
		t.Errorf("nodes: %v", got)
	}
	if got := strings.Fields(fresh.samara(t, "network", "list", "-o", "name")); !slices.Equal(got, []string{"hall", "ipmi"}) {
		t.Errorf("networks: %v", got)
	}
	if err := fresh.lacks(d.blobs); err != nil {
		t.Error(err)
	}
	// Whoever had a certificate of the cluster before has one still.
	for _, identity := range []string{d.heads[0].Dir, fresh.Dir} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := d.network.Output(ctx, d.binary, "node", "set", "n1", "--rack", filepath.Base(identity),
			"--server", fresh.Host.Address.String(), "--identity", filepath.Join(identity, "admin"))
		cancel()
		if err != nil || !strings.Contains(out, "rack") {
			t.Errorf("with the certificate in %s: %q, %v", identity, out, err)
		}
	}
	further.join(t, fresh)
	fresh.holding(t, further, d.blobs, time.Time{})
	whole(t, fresh, further)
	further.samara(t, "node", "add", "n4")
	fresh.Kill()
	further.Kill()
}

// recover brings back the first one alone.
func (d *disaster) recover(t *testing.T) {
	left := d.heads[0]
	left.start(t)
	left.refused(t, 1, []string{"in use by another samara process"}, "controller", "recover", "--dir", left.Dir, "-y")
	if got := left.nodesOrNone(t); !slices.Equal(got, []string{"n1", "n2", "n3"}) {
		t.Errorf("nodes without a quorum: %v", got)
	}
	left.Kill()
	for range 2 { // a dry run changes nothing
		out := left.samara(t, "controller", "recover", "--dir", left.Dir, "--dry-run")
		for _, words := range []string{"head1, which would be the only one", "head2, head3", "make head1 the only voter"} {
			if !strings.Contains(out, words) {
				t.Errorf("the dry run lacks %q:\n%s", words, out)
			}
		}
	}
	left.refused(t, 2, []string{"-y says that you mean it"}, "controller", "recover", "--dir", left.Dir)
	left.samara(t, "controller", "recover", "--dir", left.Dir, "-y")
	left.refused(t, 2, []string{"already exists", "it is the only one of its cluster"}, "controller", "recover", "--dir", left.Dir, "-y")
	left.serve(t)
	left.samara(t, "node", "add", "n5")
	if got := left.nodes(t, "--consistency", "linearizable"); !slices.Equal(got, []string{"n1", "n2", "n3", "n5"}) {
		t.Errorf("nodes: %v", got)
	}
}

// rejoin has a fresh controller join, and another under the name and on the host of one that was lost.
func (d *disaster) rejoin(t *testing.T) {
	left, successor, further := d.heads[0], d.heads[1].anew("successor"), d.head(t, 6)
	for _, h := range []*head{successor, further} {
		h.join(t, left)
	}
	whole(t, left, successor, further)
	for _, h := range []*head{successor, further} {
		left.holding(t, h, d.blobs, time.Time{})
	}
	d.heads = append(d.heads, successor, further)
}

// lostOnes starts again those that were lost, one after the other: together they would be a majority of the cluster that
// they know. Of one, the name and the host are its successor's by now, which is down.
func (d *disaster) lostOnes(t *testing.T) {
	left, second, third, successor, further := d.heads[0], d.heads[1], d.heads[2], d.heads[3], d.heads[4]
	successor.Kill()
	now := []*head{left, further}
	leader, _ := leaderOf(t, now...)
	for i, c := range []struct {
		old *head
		why string
	}{
		{second, "another controller is called head2 now"},
		{third, "controller head3 is not one of this cluster's, or not any more"},
	} {
		if err := c.old.Start(); err != nil {
			t.Fatal(err)
		}
		refusesVotes(t, c.old, c.why, now...)
		name := fmt.Sprintf("n%d", 6+i)
		now[i].samara(t, "node", "add", name)
		if slices.Contains(c.old.nodesOrNone(t), name) {
			t.Errorf("%s, which was lost, receives changes", c.old.Host.ID)
		}
		c.old.quits(t, "controller "+c.old.Host.ID+" was removed from cluster hall", "samara controller token")
		if s := left.status(t); !s.Quorum || s.Leader != leader.Host.ID {
			t.Errorf("%s led, and now %q does", leader.Host.ID, s.Leader)
		}
	}
	successor.serve(t)
	whole(t, left, successor, further)
	if got := successor.nodes(t); !slices.Equal(got, []string{"n1", "n2", "n3", "n5", "n6", "n7"}) {
		t.Errorf("nodes: %v", got)
	}
}
