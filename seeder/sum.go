package seeder

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
)

// sumPiece returns the SHA-1 of a piece of r, read through buf.
func sumPiece(r io.ReaderAt, i Info, piece int, buf []byte) ([sha1.Size]byte, error) {
	start, length := i.Bounds(piece)
	h := sha1.New()
	for length > 0 {
		part := buf[:min(int64(len(buf)), length)]
		if err := readFull(r, part, start); err != nil {
			return [sha1.Size]byte{}, fmt.Errorf("reading piece %d: %w", piece, err)
		}
		h.Write(part)
		start += int64(len(part))
		length -= int64(len(part))
	}
	return [sha1.Size]byte(h.Sum(nil)), nil
}

// readFull fills b or fails; its error is never io.EOF, which the library would take for the end of a piece.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("it ends %d bytes early: %w", len(b)-n, io.ErrUnexpectedEOF)
	default:
		return err
	}
}
