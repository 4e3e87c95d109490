package controller

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
)

// A backup is a tar archive that any tar reads: about.json, the state, the seal key, blobs if they were asked for, and
// last SHA256SUMS over all of them, as sha256sum -c reads it. Its presence says that the backup is whole.
const (
	backupFormat = 1
	backupAbout  = "about.json"
	backupState  = "state.json"
	backupSeal   = "seal.key"
	backupBlobs  = "blobs/"
	backupSums   = "SHA256SUMS"
)

// A backupHead is what about.json holds.
type backupHead struct {
	Format    int            `json:"format"`
	Made      time.Time      `json:"made"`
	Version   string         `json:"version"` // of the program that made it
	Cluster   string         `json:"cluster"`
	ClusterID string         `json:"cluster_id"`
	Revision  fleet.Revision `json:"revision"`
	Blobs     bool           `json:"blobs"` // whether those of the images are inside
}

// backups writes backups. It implements api.Backups.
type backups struct {
	dir     dir
	state   func() fleet.State
	blobs   *blob.Store
	version string
	now     func() time.Time
}

// Write implements api.Backups.
func (b *backups) Write(ctx context.Context, w io.Writer, blobs bool) error {
	state := b.state()
	cluster, ok := state.Cluster()
	if !ok {
		return fmt.Errorf("backup: cluster: %w", fleet.ErrNotFound)
	}
	seal, err := b.dir.sealKey()
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	wanted := []fleet.Blob{}
	if blobs {
		if wanted, err = b.held(state); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	var image bytes.Buffer
	if _, err := state.WriteTo(&image); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	about, err := json.MarshalIndent(backupHead{Format: backupFormat, Made: b.now().UTC(), Version: b.version,
		Cluster: cluster.Name, ClusterID: cluster.ID, Revision: state.Revision(), Blobs: blobs}, "", "  ")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	out := &backupWriter{tar: tar.NewWriter(w), made: b.now()}
	out.put(backupAbout, int64(len(about)+1), bytes.NewReader(append(about, '\n')))
	out.put(backupState, int64(image.Len()), &image)
	out.put(backupSeal, int64(len(seal)), bytes.NewReader(seal))
	for _, one := range wanted {
		out.putBlob(ctx, b.blobs, one)
	}
	return out.close()
}

// held returns every blob that the state names, each once. It fails if this controller lacks one.
func (b *backups) held(state fleet.State) ([]fleet.Blob, error) {
	var list []fleet.Blob
	seen := map[fleet.Digest]bool{}
	for img := range state.Images() {
		for _, v := range img.Versions {
			for _, one := range v.Blobs() {
				if seen[one.Digest] {
					continue
				}
				seen[one.Digest] = true
				if !b.blobs.Has(one.Digest) {
					return nil, fmt.Errorf("image %s: this controller does not hold blob %s yet; ask one that does (samara controller list)",
						fleet.ImageRef{Name: img.Name, Version: v.Number}, one.Digest.Short())
				}
				list = append(list, one)
			}
		}
	}
	return list, nil
}

// A backupWriter writes entries and sums them up. After the first error it does nothing more.
type backupWriter struct {
	tar  *tar.Writer
	made time.Time
	sums bytes.Buffer
	err  error
}

func (w *backupWriter) put(name string, size int64, r io.Reader) {
	if w.err != nil {
		return
	}
	if w.err = w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: w.made, Format: tar.FormatPAX}); w.err != nil {
		return
	}
	sum := sha256.New()
	if _, w.err = io.Copy(io.MultiWriter(w.tar, sum), r); w.err == nil {
		w.note(name, sum)
	}
}

func (w *backupWriter) note(name string, sum hash.Hash) {
	fmt.Fprintf(&w.sums, "%s  %s\n", hex.EncodeToString(sum.Sum(nil)), name)
}

func (w *backupWriter) putBlob(ctx context.Context, from *blob.Store, b fleet.Blob) {
	if w.err != nil {
		return
	}
	r, err := from.Open(b.Digest)
	if err != nil {
		w.err = err
		return
	}
	defer r.Close()
	w.put(backupBlobs+b.Digest.String(), b.Size, &contextReader{ctx, io.NewSectionReader(r, 0, r.Size())})
}

// close writes the sums and the end.
func (w *backupWriter) close() error {
	sums := bytes.Clone(w.sums.Bytes())
	w.put(backupSums, int64(len(sums)), bytes.NewReader(sums))
	if w.err != nil {
		return fmt.Errorf("backup: %w", w.err)
	}
	if err := w.tar.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
