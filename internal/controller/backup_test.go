package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/raftstore"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// initialised makes the only controller of a cluster, with one node and one image version whose blobs it holds.
func initialised(t *testing.T) (dir, fleet.State, *blob.Store) {
	t.Helper()
	d := dir(t.TempDir())
	err := Init(t.Context(), InitOptions{Dir: string(d), Cluster: "c1", ID: "head1", Address: loopback, Ports: fleet.DefaultPorts,
		Networks: []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.0.0.0/24"), DHCP: fleet.DHCPFull}}})
	if err != nil {
		t.Fatal(err)
	}
	state := reopened(t, d)
	blobs, err := blob.Open(d.path("blobs"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) fleet.Blob {
		w, err := blobs.Create()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		b, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []fleet.Command{
		&fleet.AddImageVersion{Image: "debian", Holders: []string{"head1"}, Version: fleet.ImageVersion{
			Root: put("root"), Torrent: put("torrent"), Kernel: put("kernel"), Initramfs: put("initramfs"), Arch: "amd64", KernelRelease: "6.1", Imported: time.Now()}},
		&fleet.AddCertificate{Name: "mia", Role: fleet.UserViewer, Serial: "1", Expires: time.Now().Add(time.Hour)},
		&fleet.AddNodes{Nodes: []fleet.Node{{Name: "n1", Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian"}, Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.0.0.9")}}}}}},
	} {
		if state, err = state.Apply(fleet.Entry{Command: c, At: time.Now()}, state.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	return d, state, blobs
}

// backUp writes a backup of a state to a file and returns its name.
func backUp(t *testing.T, d dir, state fleet.State, blobs *blob.Store, whole bool) string {
	t.Helper()
	var out bytes.Buffer
	b := &backups{dir: d, state: func() fleet.State { return state }, blobs: blobs, version: "test", now: time.Now}
	if err := b.Write(t.Context(), &out, whole); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestABackupMakesAControllerAgain(t *testing.T) {
	t.Parallel()
	d, state, blobs := initialised(t)
	for name, whole := range map[string]bool{"with blobs": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			fresh := dir(filepath.Join(t.TempDir(), "new"))
			o := RestoreOptions{Dir: string(fresh), File: backUp(t, d, state, blobs, whole), ID: "other", Address: loopback, Ports: fleet.DefaultPorts, DryRun: true}
			plan, err := Restore(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if fresh.initialised() {
				t.Error("a dry run has made a controller")
			}
			if want := map[bool]int{true: 4, false: 0}[whole]; plan.Blobs != want || plan.Nodes != 1 || plan.Images != 1 || (len(plan.MissingBlobs) == 0) != whole {
				t.Errorf("plan: got %+v", plan)
			}
			if !slices.Equal(plan.Users, []string{"mia"}) || !slices.ContainsFunc(plan.Steps, func(s string) bool { return strings.Contains(s, "samara user delete") }) {
				t.Errorf("plan: users %v, steps %q; want mia, and what to do if she was deleted since", plan.Users, plan.Steps)
			}
			o.DryRun = false
			if _, err := Restore(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			got := reopened(t, fresh)
			cluster, _ := got.Cluster()
			if n, ok := got.Node("n1"); !ok || n.Image.Name != "debian" || len(cluster.Controllers) != 1 || cluster.Controllers[0].ID != "other" {
				t.Errorf("restored: node %+v, controllers %+v", n, cluster.Controllers)
			}
			if _, err := (&keyring{dir: fresh}).authority(cluster); err != nil {
				t.Errorf("the restored controller cannot issue certificates: %v", err)
			}
			restored, err := blob.Open(fresh.path("blobs"))
			if err != nil {
				t.Fatal(err)
			}
			if list, err := restored.List(); err != nil || len(list) != plan.Blobs {
				t.Errorf("blobs: got %v, %v, want %d", list, err, plan.Blobs)
			}
			if _, err := Restore(t.Context(), o); !errors.Is(err, fleet.ErrExists) {
				t.Errorf("a second time: got %v, want %v", err, fleet.ErrExists)
			}
		})
	}
}

// reopened elects the controller in d, makes changes and one more, and returns the state.
func reopened(t *testing.T, d dir, changes ...fleet.Command) fleet.State {
	t.Helper()
	me, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	store, err := raftstore.Open(raftstore.Config{Dir: d.path("raft"), ID: me.ID, Address: controlAddress(me.Address, me.Ports), Stream: lonelyStream(t, me)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if err := store.WaitLeader(ctx); err != nil {
		t.Fatal(err)
	}
	keys := []string{"ssh-ed25519 AAAA test"}
	for _, c := range append(changes, &fleet.SetCluster{AuthorizedKeys: &keys}) {
		if _, err := store.Propose(ctx, fleet.Entry{Command: c, ID: newRequestID(), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	return store.State()
}

func TestDamagedBackupsAreRefused(t *testing.T) {
	t.Parallel()
	d, state, blobs := initialised(t)
	name := backUp(t, d, state, blobs, true)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(b []byte) error {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		fresh := filepath.Join(t.TempDir(), "new")
		_, err := Restore(t.Context(), RestoreOptions{Dir: fresh, File: name, ID: "other", Address: loopback, Ports: fleet.DefaultPorts})
		if _, statErr := os.Stat(fresh); err != nil && statErr == nil {
			t.Errorf("%v, but %s was made", err, fresh)
		}
		return err
	}
	flipped := func(text string) []byte {
		at := bytes.Index(good, []byte(text))
		if at < 0 {
			t.Fatalf("the backup does not hold %q", text)
		}
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for what, b := range map[string][]byte{
		"nothing":        nil,
		"something else": []byte(strings.Repeat("no backup ", 1000)),
		"half of it":     good[:len(good)/2],
		"a blob":         flipped("initramfs\x00"),
		"the state":      flipped(`"n1"`),
		"a sum":          flipped("  " + backupState),
	} {
		if err := restore(b); !errors.Is(err, ErrBackup) && !errors.Is(err, fleet.ErrSnapshot) {
			t.Errorf("%s: got %v, want %v", what, err, ErrBackup)
		}
	}
	if err := restore(good); err != nil {
		t.Errorf("the whole one: %v", err)
	}
}

func TestABackupOfWhatIsNotHeldIsRefused(t *testing.T) {
	t.Parallel()
	d, state, blobs := initialised(t)
	list, err := blobs.List()
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.Remove(list[0].Digest); err != nil {
		t.Fatal(err)
	}
	b := &backups{dir: d, state: func() fleet.State { return state }, blobs: blobs, now: time.Now}
	var out bytes.Buffer
	if err := b.Write(t.Context(), &out, true); err == nil || out.Len() > 0 {
		t.Errorf("got %v after %d bytes, want an error before the first", err, out.Len())
	}
	if err := b.Write(t.Context(), &out, false); err != nil {
		t.Errorf("without blobs: %v", err)
	}
}

func TestOneControllerGoesOnAlone(t *testing.T) {
	t.Parallel()
	d, _, _ := initialised(t)
	// What a second and a third controller leave behind in the survivor's directory when they burn.
	before := reopened(t, d, &fleet.ReplaceControllers{Controllers: []fleet.Controller{
		{ID: "head1", Address: loopback, Ports: fleet.DefaultPorts},
		{ID: "head2", Address: netip.MustParseAddr("127.0.0.2"), Ports: fleet.DefaultPorts},
		{ID: "head3", Address: netip.MustParseAddr("127.0.0.3"), Ports: fleet.DefaultPorts},
	}})
	plan, err := Recover(t.Context(), RecoverOptions{Dir: string(d), DryRun: true})
	if err != nil || fmt.Sprint(plan.Lost) != "[head2 head3]" || len(plan.Steps) == 0 {
		t.Fatalf("dry run: got %+v, %v", plan, err)
	}
	if plan.Revision > before.Revision() {
		t.Errorf("the dry run has made revision %d of %d", plan.Revision, before.Revision())
	}
	if _, err := Recover(t.Context(), RecoverOptions{Dir: string(d)}); err != nil {
		t.Fatal(err)
	}
	cluster, _ := reopened(t, d).Cluster()
	if len(cluster.Controllers) != 1 {
		t.Errorf("controllers: got %+v, want head1 alone", cluster.Controllers)
	}
	if _, err := Recover(t.Context(), RecoverOptions{Dir: string(d)}); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("once more: got %v, want %v", err, fleet.ErrExists)
	}
}
