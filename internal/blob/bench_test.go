package blob

import (
	"bytes"
	"io"
	"testing"
)

// BenchmarkRead compares reading in small pieces with hashing the same bytes once, which is the least that it can cost.
func BenchmarkRead(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	content := noise(1, 96*chunkSize) // more than the cache holds
	w, err := s.Create()
	if err != nil {
		b.Fatal(err)
	}
	_, _ = w.Write(content)
	of, err := w.Commit()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("hash", func(b *testing.B) {
		b.SetBytes(of.Size)
		for b.Loop() {
			_, _ = io.Copy(newHasher().chunk, bytes.NewReader(content))
		}
	})
	for name, size := range map[string]int{"16KiB": 16 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			r, err := s.Open(of.Digest)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			b.SetBytes(of.Size)
			p := make([]byte, size)
			for b.Loop() {
				for off := int64(0); off < of.Size; off += int64(size) {
					if _, err := r.ReadAt(p, off); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
