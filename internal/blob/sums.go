package blob

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/samara-hpc/samara/fleet"
)

// chunkSize is the unit in which blobs are verified, in bytes.
const chunkSize = 1 << 20

// sums are the SHA-256 sums of a blob: of the whole and of each chunk, of which the last may be short.
type sums struct {
	blob   fleet.Blob
	chunks []fleet.Digest
}

// The file of sums: a magic of 8 bytes, the digest of the blob, its length (big-endian), a digest per chunk, and
// the SHA-256 of all that, by which a torn file is known.
const (
	sumsMagic  = "samsums1"
	sumsHeader = len(sumsMagic) + sha256.Size + 8
)

func (s sums) encode() []byte {
	b := make([]byte, 0, sumsHeader+sha256.Size*(len(s.chunks)+1))
	b = append(b, sumsMagic...)
	b = append(b, s.blob.Digest[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.blob.Size))
	for _, c := range s.chunks {
		b = append(b, c[:]...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// errTorn means that a file of sums is not what encode wrote. The sums are then computed anew.
var errTorn = errors.New("torn sums")

func decodeSums(b []byte) (sums, error) {
	if len(b) < sumsHeader+sha256.Size || string(b[:len(sumsMagic)]) != sumsMagic {
		return sums{}, errTorn
	}
	body, tail := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], tail) {
		return sums{}, errTorn
	}
	var s sums
	copy(s.blob.Digest[:], body[len(sumsMagic):])
	s.blob.Size = int64(binary.BigEndian.Uint64(body[len(sumsMagic)+sha256.Size:]))
	list := body[sumsHeader:]
	if s.blob.Size < 0 || s.blob.Size > int64(len(list))*chunkSize || int64(len(list)) != chunkCount(s.blob.Size)*sha256.Size {
		return sums{}, errTorn
	}
	s.chunks = make([]fleet.Digest, len(list)/sha256.Size)
	for i := range s.chunks {
		copy(s.chunks[i][:], list[i*sha256.Size:])
	}
	return s, nil
}

// check compares what was hashed with what it should be, if that is known.
func (s sums) check(want *fleet.Blob) error {
	if want == nil || s.blob == *want {
		return nil
	}
	return fmt.Errorf("blob %s of %d bytes: %w: %d bytes whose SHA-256 is %s", want.Digest.Short(), want.Size, ErrOther, s.blob.Size, s.blob.Digest)
}

func chunkCount(size int64) int64 { return (size + chunkSize - 1) / chunkSize }

// differsAt returns the offset of the first chunk in which s and t differ, or -1 if they are alike.
func (s sums) differsAt(t sums) int64 {
	for i := range max(len(s.chunks), len(t.chunks)) {
		if i >= len(s.chunks) || i >= len(t.chunks) || s.chunks[i] != t.chunks[i] {
			return int64(i) * chunkSize
		}
	}
	return -1
}

// loadSums reads the file of sums of d. Whatever is wrong with it, the cure is to compute them anew.
func (s *Store) loadSums(d fleet.Digest) (sums, error) {
	f, err := os.Open(s.sumsPath(d))
	if err != nil {
		return sums{}, err
	}
	defer f.Close()
	const most = 64 << 20 // the sums of 2 TiB
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return sums{}, err
	}
	got, err := decodeSums(b)
	if err == nil && got.blob.Digest != d {
		err = errTorn
	}
	return got, err
}

// sumsOf returns the sums of d, whose open file is f. If there are none that fit f, it reads f whole, compares it with
// its name, and keeps its sums.
func (s *Store) sumsOf(d fleet.Digest, f *os.File) (sums, error) {
	info, err := f.Stat()
	if err != nil {
		return sums{}, err
	}
	if got, err := s.loadSums(d); err == nil && got.blob.Size == info.Size() {
		return got, nil
	}
	s.rebuild.Lock()
	defer s.rebuild.Unlock()
	if got, err := s.loadSums(d); err == nil && got.blob.Size == info.Size() {
		return got, nil // another reader was faster
	}
	got, err := hashFile(f, func(*os.File, int64, int) error { return nil })
	if err != nil {
		return sums{}, fmt.Errorf("verify blob %s: %w", d.Short(), err)
	}
	if got.blob.Digest != d {
		return sums{}, s.corrupt(d, got)
	}
	// A full or read-only disk does not keep anyone from reading: the sums are then computed once more next time.
	if name, err := s.writeSums(got); err == nil {
		if err := os.Rename(name, s.sumsPath(d)); err != nil {
			_ = os.Remove(name)
		}
	}
	return got, nil
}

// writeSums writes sums to a temporary file, durably, and returns its name.
func (s *Store) writeSums(of sums) (string, error) {
	f, err := s.createTemp()
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = f.Write(of.encode())
	if err == nil {
		err = f.Chmod(0o444)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// A hasher computes sums of what is written to it.
type hasher struct {
	whole, chunk hash.Hash
	filled       int // bytes in chunk
	size         int64
	chunks       []fleet.Digest
}

func newHasher() *hasher { return &hasher{whole: sha256.New(), chunk: sha256.New()} }

// Write never fails.
func (h *hasher) Write(p []byte) (int, error) {
	h.whole.Write(p)
	h.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunkSize-h.filled)
		h.chunk.Write(rest[:n])
		h.filled += n
		rest = rest[n:]
		if h.filled == chunkSize {
			h.endChunk()
		}
	}
	return len(p), nil
}

func (h *hasher) endChunk() {
	h.chunks = append(h.chunks, fleet.Digest(h.chunk.Sum(nil)))
	h.chunk.Reset()
	h.filled = 0
}

// sums ends the hashing and returns its result.
func (h *hasher) sums() sums {
	if h.filled > 0 {
		h.endChunk()
	}
	return sums{fleet.Blob{Digest: fleet.Digest(h.whole.Sum(nil)), Size: h.size}, h.chunks}
}
