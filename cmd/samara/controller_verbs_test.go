package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/controller"
	"github.com/samara-hpc/samara/internal/identity"
)

// offline is a program on a machine that is no controller yet.
func offline(terminal bool, local ...string) program {
	return program{
		version:  "1.0",
		hostname: func() (string, error) { return "Head2.example.org", nil },
		addresses: func() ([]netip.Prefix, error) {
			return mapped(local, netip.MustParsePrefix), nil
		},
		terminal: func(any) bool { return terminal },
	}
}

// said is what a command line printed.
type said struct {
	status      int
	out, stderr string
}

func say(t *testing.T, p program, stdin string, args ...string) said {
	t.Helper()
	var out, stderr strings.Builder
	status := run(t.Context(), p, args, strings.NewReader(stdin), &out, &stderr)
	return said{status, out.String(), stderr.String()}
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestJoin(t *testing.T) {
	joined := controller.JoinOptions{Dir: "/var/lib/samara", Address: "10.1.0.1:7600", Token: "t", ID: "head2",
		OwnAddress: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts, Version: "1.0"}
	other := joined
	other.Address, other.ID, other.OwnAddress, other.Dir, other.Ports.Boot = "head1.example.org:7700", "second", netip.MustParseAddr("10.9.0.2"), "/srv", 80
	none := controller.JoinOptions{}
	for what, c := range map[string]struct {
		terminal bool
		env      string // SAMARA_JOIN_TOKEN
		local    []string
		stdin    string
		args     []string
		want     controller.JoinOptions // none if the machine is left as it is
		status   int
		stderr   string
	}{
		"the address in the controller's network": {local: []string{"192.168.1.2/24", "10.1.0.2/16"}, args: []string{"10.1.0.1", "--token", "t"}, want: joined,
			stderr: "next: systemctl enable --now samara, or samara serve --dir /var/lib/samara\nit votes once it has caught up; samara controller list shows how far it is\n"},
		"the only address":                {local: []string{"10.1.0.2/24"}, args: []string{"10.1.0.1:7600", "--token", "t"}, want: joined},
		"a URL":                           {local: []string{"10.1.0.2/24"}, args: []string{"https://10.1.0.1/", "--token", "t"}, want: joined},
		"the token in the environment":    {local: []string{"10.1.0.2/24"}, env: "t", args: []string{"10.1.0.1"}, want: joined},
		"the token on the standard input": {local: []string{"10.1.0.2/24"}, stdin: "t\n", args: []string{"10.1.0.1", "--token", "-"}, want: joined},
		"the token typed":                 {terminal: true, local: []string{"10.1.0.2/24"}, stdin: " t \n", args: []string{"10.1.0.1", "--token", "-"}, want: joined, stderr: "Token: next:"},
		"all said":                        {args: []string{"head1.example.org:7700", "--token", "t", "--id", "second", "--address", "10.9.0.2", "--dir", "/srv", "--port-boot", "80"}, want: other},
		"no token": {local: []string{"10.1.0.2/24"}, args: []string{"10.1.0.1"}, want: none, status: exitBad,
			stderr: "samara: controller join: --token is missing; want the word that samara controller token prints, on a controller of the cluster\n"},
		"an empty token": {local: []string{"10.1.0.2/24"}, args: []string{"10.1.0.1", "--token", "-"}, want: none, status: exitFailed, stderr: "samara: no answer: the input ended\n"},
		"two addresses": {local: []string{"10.1.0.2/24", "10.2.0.2/24"}, args: []string{"10.3.0.1", "--token", "t"}, want: none, status: exitBad,
			stderr: "samara: controller join: --address is missing; want this machine's IP on the nodes' network; it has 10.1.0.2/24, 10.2.0.2/24\n"},
		"an address that is none": {args: []string{"10.1.0.1", "--token", "t", "--address", "head2"}, want: none, status: exitBad,
			stderr: "samara: --address \"head2\": want an IPv4 address such as 10.1.0.11\n"},
		"nobody's address": {args: []string{"no one", "--token", "t"}, want: none, status: exitBad, stderr: "samara: ADDRESS \"no one\": want an address such as 10.1.0.1:7600\n"},
		"another server": {args: []string{"10.1.0.1", "--token", "t", "--server", "10.1.0.3"}, want: none, status: exitBad,
			stderr: "samara: controller join: the cluster is found at ADDRESS; leave --server out\n"},
		"nobody answers": {local: []string{"10.1.0.2/24"}, args: []string{"10.1.0.66", "--token", "lonely"}, want: none, status: exitFailed,
			stderr: "samara: no answer from 10.1.0.66:7600; is ADDRESS a controller's, does samara run there, and may this machine reach its TCP port?\n"},
		"a token of another cluster": {local: []string{"10.1.0.2/24"}, args: []string{"10.1.0.1", "--token", "foreign"}, want: none, status: exitBad,
			stderr: "samara: no answer from 10.1.0.1:7600: not trusted; the token is of another cluster than ADDRESS: make one on a controller of the cluster"},
		"a used token": {local: []string{"10.1.0.2/24"}, args: []string{"10.1.0.1", "--token", "used"}, want: none, status: exitBad, stderr: "samara: join refused: head3 used the token\n"},
	} {
		var got controller.JoinOptions
		p := offline(c.terminal, c.local...)
		p.joinToken = c.env
		p.join = func(_ context.Context, o controller.JoinOptions) (controller.Joined, error) {
			switch o.Token {
			case "used":
				return controller.Joined{}, fmt.Errorf("%w: head3 used the token", fleet.ErrJoin)
			case "foreign":
				return controller.Joined{}, fmt.Errorf("%w from %s: %w", api.ErrNoAnswer, o.Address, identity.ErrNotTrusted)
			case "lonely":
				return controller.Joined{}, fmt.Errorf("%w from %s", api.ErrNoAnswer, o.Address)
			}
			got = o
			return controller.Joined{Cluster: "hall3", ID: o.ID, Address: o.OwnAddress}, nil
		}
		s := say(t, p, c.stdin, append([]string{"controller", "join"}, c.args...)...)
		if diff := cmp.Diff(c.want, got, compareAddr); diff != "" {
			t.Errorf("%s: joined (-want +got):\n%s", what, diff)
		}
		if s.status != c.status || !strings.HasPrefix(s.stderr, c.stderr) {
			t.Errorf("%s: status %d, %q; want %d, %q", what, s.status, s.stderr, c.status, c.stderr)
		}
		if want := c.want != none; want != strings.HasPrefix(s.out, "joined cluster hall3: controller "+c.want.ID+" at ") {
			t.Errorf("%s: printed %q", what, s.out)
		}
	}
}

func TestRecover(t *testing.T) {
	const plan = `revision    120; changes after it are lost, if others had any
removed     head2, head3
  1. keep the old log in raft.before
  2. write a new one with head1 alone
`
	for what, c := range map[string]struct {
		terminal bool
		stdin    string
		args     []string
		want     said
		done     bool
	}{
		"a dry run": {args: []string{"--dry-run"}, want: said{exitOK, "cluster     hall3\ncontroller  head1, which would be the only one\n" + plan, ""}},
		"without a word": {want: said{exitBad, "", "cluster     hall3\ncontroller  head1, which will be the only one\n" + plan +
			"samara: recover cluster hall3 from controller head1 alone: -y says that you mean it\n"}},
		"meant": {args: []string{"-y"}, done: true, want: said{exitOK, "cluster     hall3\ncontroller  head1, which is the only one\n" + plan,
			"next: systemctl start samara, or samara serve --dir /srv/head1; then join further controllers, each with a new samara controller token\n"}},
		"asked, no": {terminal: true, stdin: "n\n", want: said{exitFailed, "", "cluster     hall3\ncontroller  head1, which will be the only one\n" + plan +
			"recover cluster hall3 from controller head1 alone? [y/N] samara: recover cluster hall3 from controller head1 alone: not confirmed; nothing was changed\n"}},
		"asked, yes": {terminal: true, stdin: "y\n", done: true, want: said{exitOK, "cluster     hall3\ncontroller  head1, which is the only one\n" + plan,
			"cluster     hall3\ncontroller  head1, which will be the only one\n" + plan + "recover cluster hall3 from controller head1 alone? [y/N] " +
				"next: systemctl start samara, or samara serve --dir /srv/head1; then join further controllers, each with a new samara controller token\n"}},
		"it runs": {args: []string{"--dir", "/running", "-y"}, want: said{exitFailed, "", "samara: samara serve runs there\n"}},
	} {
		done := false
		p := offline(c.terminal)
		p.recover = func(_ context.Context, o controller.RecoverOptions) (controller.RecoverPlan, error) {
			if o.Dir == "/running" {
				return controller.RecoverPlan{}, errors.New("samara serve runs there")
			}
			done = done || !o.DryRun
			return controller.RecoverPlan{Cluster: "hall3", ID: "head1", Revision: 120, Lost: []string{"head2", "head3"},
				Steps: []string{"keep the old log in raft.before", "write a new one with head1 alone"}}, nil
		}
		got := say(t, p, c.stdin, append([]string{"controller", "recover", "--dir", "/srv/head1"}, c.args...)...)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(said{})); diff != "" || done != c.done {
			t.Errorf("%s: done %t, want %t (-want +got):\n%s", what, done, c.done, diff)
		}
	}
}

func TestRestore(t *testing.T) {
	var asked []controller.RestoreOptions
	p := offline(false, "10.1.0.2/24")
	p.restore = func(_ context.Context, o controller.RestoreOptions) (controller.RestorePlan, error) {
		o.Progress(5, 10)
		o.Progress = nil
		asked = append(asked, o)
		return controller.RestorePlan{Cluster: "hall3", Made: time.Now().Add(-49 * time.Hour), Revision: 120, Nodes: 100, Images: 2, Networks: 1,
			Blobs: 3, BlobBytes: 1e9, MissingBlobs: []string{"noble:2"}, Controllers: []string{"head1", "head2", "head3"}, ID: o.ID, Address: o.Address, Steps: []string{"write the state"}}, nil
	}
	args := []string{"restore", "samara.backup", "--address", "10.1.0.2", "--dir", "/srv/head2"}
	dry := say(t, p, "", append(args, "--dry-run")...)
	for _, part := range []string{"would restore  cluster hall3\n", "(2d01h ago), revision 120\n", "holds          100 nodes, 2 images, 1 network\n", "blobs          3, 1.0 GB\n",
		"missing        not all blobs of noble:2\n", "controller     head2 at 10.1.0.2, the only one\n", "left out       head1, head3\n", "  1. write the state\n"} {
		if !strings.Contains(dry.out, part) {
			t.Errorf("the dry run lacks %q:\n%s", part, dry.out)
		}
	}
	if dry.status != exitOK || dry.stderr != "check  5 B of 10 B (50%)\n" {
		t.Errorf("dry run: status %d, %q", dry.status, dry.stderr)
	}
	done := say(t, p, "", args...)
	if done.status != exitOK || !strings.HasPrefix(done.out, "restored    cluster hall3\n") || !strings.Contains(done.stderr, "\nnext: systemctl enable --now samara, or samara serve --dir /srv/head2; then join") {
		t.Errorf("restore: %+v", done)
	}
	want := controller.RestoreOptions{Dir: "/srv/head2", File: "samara.backup", ID: "head2", Address: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts}
	wantDry := want
	wantDry.DryRun = true
	if diff := cmp.Diff([]controller.RestoreOptions{wantDry, want}, asked, compareAddr); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	if s := say(t, p, "", "restore", "samara.backup"); s.status != exitBad || s.stderr != "samara: restore: --address is missing; want this machine's IP on the nodes' network; it has 10.1.0.2/24\n" {
		t.Errorf("restore without an address: %+v", s)
	}
}
