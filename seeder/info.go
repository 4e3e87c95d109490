package seeder

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/samara-hpc/samara/fleet"
)

// A Hash is the SHA-1 of an info dictionary: the name of a torrent among its peers.
type Hash [sha1.Size]byte

// String returns 40 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// InfoHash returns the name of the torrent whose bencoded info dictionary is info.
func InfoHash(info []byte) Hash { return sha1.Sum(info) }

// Bounds of what an info dictionary may ask for. MaxInfo follows from an agent's largest answer, in which the
// dictionary travels in base64; it suffices for 400 GiB.
const (
	MaxInfo        = 2 << 20 // bytes of an info dictionary
	MinPieceLength = 64 << 10
	MaxPieceLength = 16 << 20
)

// ErrInfo is the reason in every error about the content of an info dictionary.
var ErrInfo = errors.New("bad info dictionary")

// An Info is the content of an info dictionary: one private file, named by its SHA-256.
type Info struct {
	Digest      fleet.Digest
	Size        int64  // bytes
	PieceLength int64  // bytes of every piece but the last
	Sums        []byte // the SHA-1 of each piece, end to end
}

// Pieces returns the number of pieces.
func (i Info) Pieces() int { return len(i.Sums) / sha1.Size }

// Sum returns the SHA-1 of a piece, counted from 0.
func (i Info) Sum(piece int) [sha1.Size]byte {
	return [sha1.Size]byte(i.Sums[piece*sha1.Size:])
}

// Bounds returns where a piece begins and how long it is, in bytes.
func (i Info) Bounds(piece int) (offset, length int64) {
	offset = int64(piece) * i.PieceLength
	return offset, min(i.PieceLength, i.Size-offset)
}

// PieceLength returns the length in bytes of the pieces of a blob of size bytes: about a 2000th of it as a power of two,
// between 256 KiB and 4 MiB. Smaller pieces spread faster through a swarm, larger ones cost less to keep account of.
func PieceLength(size int64) int64 {
	const mib, gib = 1 << 20, 1 << 30
	switch {
	case size <= gib/2:
		return mib / 4
	case size < gib:
		return mib / 2
	case size <= 2*gib:
		return mib
	case size < 8*gib:
		return 2 * mib
	default:
		return 4 * mib
	}
}

// MakeInfo reads the size bytes of a blob from r and returns the bencoded info dictionary of its torrent. The same bytes
// give the same dictionary everywhere. It fails if r holds fewer or more bytes, or fails.
func MakeInfo(r io.Reader, size int64) ([]byte, error) {
	if size <= 0 {
		return nil, fmt.Errorf("making a torrent: %d bytes cannot be seeded: a blob needs at least one", size)
	}
	i := Info{Size: size, PieceLength: PieceLength(size)}
	pieces := (size + i.PieceLength - 1) / i.PieceLength
	if pieces*sha1.Size > MaxInfo-256 {
		return nil, fmt.Errorf("making a torrent: %d bytes are too many: at most %d can be seeded as one blob",
			size, (MaxInfo-256)/sha1.Size*i.PieceLength)
	}
	i.Sums = make([]byte, 0, pieces*sha1.Size)
	whole, piece := sha256.New(), sha1.New()
	in := bufio.NewReaderSize(r, 1<<20)
	for n := range int(pieces) {
		_, length := i.Bounds(n)
		piece.Reset()
		got, err := io.CopyN(io.MultiWriter(whole, piece), in, length)
		if err == io.EOF {
			err = fmt.Errorf("it ends after %d of its %d bytes: %w", int64(n)*i.PieceLength+got, size, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, fmt.Errorf("making a torrent: reading the blob: %w", err)
		}
		i.Sums = piece.Sum(i.Sums)
	}
	switch _, err := in.ReadByte(); {
	case err == nil:
		return nil, fmt.Errorf("making a torrent: the blob is longer than the %d bytes it should have", size)
	case err != io.EOF:
		return nil, fmt.Errorf("making a torrent: reading the blob: %w", err)
	}
	whole.Sum(i.Digest[:0])
	return i.encode(), nil
}

// encode writes the only form that ParseInfo accepts: the keys of BEP 3 and BEP 27 in their order.
func (i Info) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "d6:lengthi%de4:name64:%s12:piece lengthi%de6:pieces%d:", i.Size, i.Digest, i.PieceLength, len(i.Sums))
	b.Write(i.Sums)
	b.WriteString("7:privatei1ee")
	return b.Bytes()
}

// ParseInfo reads an info dictionary that MakeInfo wrote, on this machine or another. It accepts no other form: nothing
// that a peer or a stranger made up reaches the BitTorrent library. Its errors are ErrInfo.
func ParseInfo(info []byte) (Info, error) {
	i, err := parseInfo(info)
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrInfo, err)
	}
	return i, nil
}

func parseInfo(info []byte) (Info, error) {
	if len(info) > MaxInfo {
		return Info{}, fmt.Errorf("it has %d bytes: at most %d are allowed", len(info), MaxInfo)
	}
	var i Info
	s := scanner{rest: info}
	s.literal("d6:length")
	i.Size = s.number("i", "e")
	s.literal("4:name64:")
	name := s.take(2 * int64(len(i.Digest)))
	s.literal("12:piece length")
	i.PieceLength = s.number("i", "e")
	s.literal("6:pieces")
	i.Sums = slices.Clone(s.take(s.number("", ":")))
	s.literal("7:privatei1ee")
	if s.bad || len(s.rest) != 0 {
		return Info{}, fmt.Errorf("it is not a single private file as this version writes it, at byte %d", len(info)-len(s.rest))
	}
	var err error
	if i.Digest, err = fleet.ParseDigest(string(name)); err != nil {
		return Info{}, fmt.Errorf("its file's name: %w", err)
	}
	if i.PieceLength < MinPieceLength || i.PieceLength > MaxPieceLength || i.PieceLength&(i.PieceLength-1) != 0 {
		return Info{}, fmt.Errorf("its piece length is %d: want a power of two between %d and %d", i.PieceLength, MinPieceLength, MaxPieceLength)
	}
	if i.Size <= 0 || int64(len(i.Sums)) != ((i.Size-1)/i.PieceLength+1)*sha1.Size {
		return Info{}, fmt.Errorf("its %d bytes of piece sums do not fit %d bytes in pieces of %d", len(i.Sums), i.Size, i.PieceLength)
	}
	return i, nil
}

// parseInfoOf is ParseInfo for a dictionary that must describe blob.
func parseInfoOf(info []byte, blob fleet.Blob) (Info, error) {
	i, err := ParseInfo(info)
	if err != nil {
		return Info{}, err
	}
	if i.Digest != blob.Digest || i.Size != blob.Size {
		return Info{}, fmt.Errorf("%w: it describes blob %s of %d bytes, not %s of %d", ErrInfo,
			i.Digest.Short(), i.Size, blob.Digest.Short(), blob.Size)
	}
	return i, nil
}

// TorrentFile returns a .torrent file that standard clients open: info with the URLs of its trackers, in order of
// preference, each in a tier of its own.
func TorrentFile(info []byte, announce []string) []byte {
	var b bytes.Buffer
	b.WriteByte('d')
	if len(announce) > 0 {
		b.WriteString("8:announce" + bencoded(announce[0]) + "13:announce-listl")
		for _, url := range announce {
			b.WriteString("l" + bencoded(url) + "e")
		}
		b.WriteByte('e')
	}
	b.WriteString("4:info")
	b.Write(info)
	b.WriteByte('e')
	return b.Bytes()
}

func bencoded(s string) string { return strconv.Itoa(len(s)) + ":" + s }

// A scanner reads the fixed form of an info dictionary. Once something did not fit, it is bad and reads nothing more.
type scanner struct {
	rest []byte
	bad  bool
}

func (s *scanner) literal(want string) {
	if s.bad || !bytes.HasPrefix(s.rest, []byte(want)) {
		s.bad = true
		return
	}
	s.rest = s.rest[len(want):]
}

// number reads a canonical decimal number that is not negative, between two literals.
func (s *scanner) number(before, after string) int64 {
	s.literal(before)
	digits := 0
	for digits < len(s.rest) && digits < 19 && '0' <= s.rest[digits] && s.rest[digits] <= '9' {
		digits++
	}
	text := string(s.take(int64(digits)))
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		s.bad = true
	}
	s.literal(after)
	return n
}

func (s *scanner) take(n int64) []byte {
	if s.bad || n > int64(len(s.rest)) {
		s.bad = true
		return nil
	}
	got := s.rest[:n]
	s.rest = s.rest[n:]
	return got
}
