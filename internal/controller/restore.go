package controller

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// RestoreOptions say which backup to make a controller of, and where.
type RestoreOptions struct {
	Dir      string // of the controller; made if absent
	File     string // the backup
	ID       string // the name of the only controller that the restored cluster will have
	Address  netip.Addr
	Ports    fleet.Ports
	DryRun   bool                    // check the backup and say what would be done
	Progress func(done, total int64) // in bytes of the backup; may be nil
}

// A RestorePlan is what a restore does, or would do.
type RestorePlan struct {
	Cluster      string         `json:"cluster"`
	Made         time.Time      `json:"made"` // when the backup was
	Revision     fleet.Revision `json:"revision"`
	Nodes        int            `json:"nodes"`
	Images       int            `json:"images"`
	Networks     int            `json:"networks"`
	Users        []string       `json:"users"` // who have certificates that hold, as far as the backup knows
	Blobs        int            `json:"blobs"`
	BlobBytes    int64          `json:"blob_bytes"`
	MissingBlobs []string       `json:"missing_blobs"` // images, NAME:VERSION, of which the backup holds not all
	Controllers  []string       `json:"controllers"`   // of the backup; all but ID are left out
	ID           string         `json:"id"`
	Address      netip.Addr     `json:"address"`
	Steps        []string       `json:"steps"` // in words
}

// ErrBackup means that a file is no backup, or not a whole one.
var ErrBackup = errors.New("not a whole backup")

// Bounds on what a backup may hold in memory, in bytes.
const (
	maxBackupText  = 1 << 20
	maxBackupState = 1 << 30
)

// Restore makes the only controller of a cluster out of a backup: its configuration, its authority and keys, and the
// images if the backup holds them. Nodes that were booted before know it as theirs. The backup is checked whole before
// anything is written. The error wraps ErrBackup if it is damaged, and fleet.ErrExists if o.Dir holds a controller.
func Restore(ctx context.Context, o RestoreOptions) (RestorePlan, error) {
	if err := fleet.CheckName("controller", o.ID); err != nil {
		return RestorePlan{}, err
	}
	f, err := os.Open(o.File)
	if err != nil {
		return RestorePlan{}, fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return RestorePlan{}, fmt.Errorf("backup: %w", err)
	}
	told := o.Progress
	if told == nil {
		told = func(int64, int64) {}
	}
	total := 2 * info.Size()
	b, err := checkBackup(&countingReader{&contextReader{ctx, f}, 0, func(n int64) { told(n, total) }})
	if err != nil {
		return RestorePlan{}, fmt.Errorf("%s: %w", o.File, err)
	}
	own, err := newKeyPair()
	if err != nil {
		return RestorePlan{}, err
	}
	state, err := b.alone(o, own)
	if err != nil {
		return RestorePlan{}, err
	}
	plan := b.plan(o)
	d := dir(o.Dir)
	if d.initialised() {
		return plan, d.errTaken()
	}
	if o.DryRun {
		return plan, nil
	}
	if err := ownAddress(o.Address); err != nil {
		return plan, err
	}
	if err := makeDir(o.Dir); err != nil {
		return plan, err
	}
	unlock, err := d.lock()
	if err != nil {
		return plan, err
	}
	defer unlock()
	if err := d.clearHalfDone(); err != nil {
		return plan, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return plan, fmt.Errorf("backup: %w", err)
	}
	if err := d.takeBlobs(&countingReader{&contextReader{ctx, f}, info.Size(), func(n int64) { told(n, total) }}); err != nil {
		return plan, err
	}
	cluster, _ := state.Cluster()
	plain, err := identity.Unseal(b.seal, cluster.CAKey, aboutCAKey)
	if err != nil {
		return plan, err
	}
	authority, err := identity.ParseAuthority(cluster.CA, plain)
	if err != nil {
		return plan, err
	}
	me := self{ID: o.ID, Cluster: cluster.Name, ClusterID: cluster.ID, Address: o.Address, Ports: o.Ports}
	if err := d.issueKeys(authority, cluster.CA, b.seal, own, me); err != nil {
		return plan, err
	}
	if err := raftstore.Seed(d.path("raft"), state, o.ID, controlAddress(o.Address, o.Ports)); err != nil {
		return plan, err
	}
	return plan, d.writeSelf(me)
}

// A readBackup is a backup that was found whole.
type readBackup struct {
	head  backupHead
	state fleet.State
	seal  []byte
	blobs map[string]int64 // digest to size
}

// checkBackup reads a backup to its end and checks every byte of it.
func checkBackup(r io.Reader) (readBackup, error) {
	b := readBackup{blobs: map[string]int64{}}
	var about, state bool
	err := walkBackup(r, func(name string, size int64, r io.Reader) error {
		switch {
		case name == backupAbout:
			about = true
			return decodeBounded(r, maxBackupText, func(text []byte) error { return json.Unmarshal(text, &b.head) })
		case name == backupState:
			state = true
			return decodeBounded(r, maxBackupState, func(text []byte) (err error) {
				b.state, err = fleet.ReadState(bytes.NewReader(text))
				return err
			})
		case name == backupSeal:
			return decodeBounded(r, maxBackupText, func(key []byte) error { b.seal = key; return nil })
		case strings.HasPrefix(name, backupBlobs):
			b.blobs[strings.TrimPrefix(name, backupBlobs)] = size
			return nil
		}
		return fmt.Errorf("%w: it holds %q", ErrBackup, name)
	})
	switch {
	case err != nil:
		return b, err
	case !about || !state:
		return b, fmt.Errorf("%w: the cluster's state is missing", ErrBackup)
	case b.head.Format > backupFormat:
		return b, fmt.Errorf("%w that this release can read: samara %s made it; install that or a later one", ErrBackup, b.head.Version)
	}
	if _, ok := b.state.Cluster(); !ok {
		return b, fmt.Errorf("%w: its state is empty", ErrBackup)
	}
	return b, nil
}

func decodeBounded(r io.Reader, limit int64, decode func([]byte) error) error {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%w: an entry of more than %d bytes", ErrBackup, limit)
	}
	if err != nil {
		return err
	}
	return decode(text)
}

// walkBackup visits every entry but the sums, and fails unless the sums at the end are those of what was read.
func walkBackup(r io.Reader, visit func(name string, size int64, r io.Reader) error) error {
	in := tar.NewReader(r)
	var sums bytes.Buffer
	for {
		h, err := in.Next()
		if err != nil {
			return fmt.Errorf("%w: %s is missing at its end, so that it was cut off or is something else (%w)", ErrBackup, backupSums, err)
		}
		if h.Name == backupSums {
			return checkSums(in, sums.String())
		}
		sum := sha256.New()
		entry := io.TeeReader(in, sum)
		if err := visit(h.Name, h.Size, entry); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, entry); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrBackup, h.Name, err)
		}
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum.Sum(nil)), h.Name)
	}
}

// checkSums compares the sums at a backup's end with those of what was read.
func checkSums(r io.Reader, want string) error {
	got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBackup, backupSums, err)
	}
	if string(got) == want {
		return nil
	}
	for line := range strings.Lines(want) {
		if !strings.Contains(string(got), line) {
			return fmt.Errorf("%w: %s is damaged", ErrBackup, strings.TrimSpace(line[min(66, len(line)):]))
		}
	}
	return fmt.Errorf("%w: %s is damaged", ErrBackup, backupSums)
}

// alone returns the state of a cluster whose only controller is the one to be made.
func (b readBackup) alone(o RestoreOptions, own keyPair) (fleet.State, error) {
	state, err := b.state.Apply(fleet.Entry{
		Command: &fleet.ReplaceControllers{Controllers: []fleet.Controller{{ID: o.ID, Address: o.Address, Ports: o.Ports, Key: own.digest}}},
		At:      time.Now().UTC(), Who: "samara restore", Why: "restored from the backup of " + b.head.Made.Format(time.RFC3339),
	}, b.state.Revision()+1)
	if err != nil {
		return fleet.State{}, fmt.Errorf("make controller %s the only one: %w", o.ID, err)
	}
	return state, nil
}

// plan says what restoring b does.
func (b readBackup) plan(o RestoreOptions) RestorePlan {
	cluster, _ := b.state.Cluster()
	p := RestorePlan{Cluster: cluster.Name, Made: b.head.Made, Revision: b.state.Revision(), Nodes: b.state.CountNodes(),
		Blobs: len(b.blobs), ID: o.ID, Address: o.Address, MissingBlobs: []string{}, Controllers: []string{}, Users: []string{}}
	for _, size := range b.blobs {
		p.BlobBytes += size
	}
	for range b.state.Networks() {
		p.Networks++
	}
	now := time.Now()
	for u := range b.state.Users() {
		if _, some := u.InForce(now); some {
			p.Users = append(p.Users, u.Name)
		}
	}
	for img := range b.state.Images() {
		for _, v := range img.Versions {
			p.Images++
			for _, one := range v.Blobs() {
				if b.blobs[one.Digest.String()] != one.Size {
					p.MissingBlobs = append(p.MissingBlobs, fleet.ImageRef{Name: img.Name, Version: v.Number}.String())
					break
				}
			}
		}
	}
	for _, c := range cluster.Controllers {
		p.Controllers = append(p.Controllers, c.ID)
	}
	p.Steps = []string{
		fmt.Sprintf("make %s at %s the only controller of cluster %s, with its authority and keys", o.ID, o.Address, cluster.Name),
		fmt.Sprintf("restore revision %d; nodes: %d, image versions: %d, networks: %d", p.Revision, p.Nodes, p.Images, p.Networks),
	}
	if len(p.Users) > 0 {
		p.Steps = append(p.Steps, "let users in as they were let in then: "+strings.Join(p.Users, ", ")+"; samara user delete those who were deleted since")
	}
	if p.Blobs > 0 {
		p.Steps = append(p.Steps, fmt.Sprintf("restore %d blobs of images", p.Blobs))
	}
	if len(p.MissingBlobs) > 0 {
		p.Steps = append(p.Steps, "leave out what the backup does not hold: "+strings.Join(p.MissingBlobs, ", ")+" must be imported again before a node can boot from it")
	}
	return p
}

// takeBlobs writes the blobs of a backup into the controller's store. What is there whole already is written again,
// to the same bytes.
func (d dir) takeBlobs(r io.Reader) error {
	store, err := blob.Open(d.path("blobs"))
	if err != nil {
		return err
	}
	return walkBackup(r, func(name string, _ int64, r io.Reader) error {
		digest, isBlob := strings.CutPrefix(name, backupBlobs)
		if !isBlob {
			return nil
		}
		w, err := store.Create()
		if err != nil {
			return err
		}
		defer w.Abort()
		if _, err := io.Copy(w, r); err != nil {
			return fmt.Errorf("blob %s: %w", digest, err)
		}
		got, err := w.Commit()
		if err == nil && got.Digest.String() != digest {
			err = errors.Join(fmt.Errorf("%w: blob %s has another content", ErrBackup, digest), store.Remove(got.Digest))
		}
		return err
	})
}

// A countingReader tells how much was read through it.
type countingReader struct {
	r    io.Reader
	n    int64
	tell func(int64)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}
