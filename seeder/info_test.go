package seeder

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/anacrolix/torrent/metainfo"

	"github.com/samara-hpc/samara/fleet"
)

// testBlob returns size bytes that look random and are the same in every run.
func testBlob(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), 7}).Read(b)
	return b
}

// testInfo returns a blob's info dictionary and reference.
func testInfo(t testing.TB, blob []byte) ([]byte, fleet.Blob) {
	t.Helper()
	info, err := MakeInfo(bytes.NewReader(blob), int64(len(blob)))
	if err != nil {
		t.Fatalf("MakeInfo of %d bytes: %v", len(blob), err)
	}
	return info, fleet.Blob{Digest: sha256.Sum256(blob), Size: int64(len(blob))}
}

func TestMakeInfoIsDeterministicAndTrue(t *testing.T) {
	for _, size := range []int{1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 3<<20 + 5} {
		blob := testBlob(size)
		info, ref := testInfo(t, blob)
		again, err := MakeInfo(iotest.HalfReader(bytes.NewReader(blob)), int64(size))
		if err != nil || !bytes.Equal(info, again) {
			t.Errorf("size %d: read in halves the info differs (error %v)", size, err)
		}
		got, err := ParseInfo(info)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if got.Digest != ref.Digest || got.Size != ref.Size || got.PieceLength != PieceLength(ref.Size) {
			t.Errorf("size %d: got %v, %d bytes in pieces of %d", size, got.Digest, got.Size, got.PieceLength)
		}
		for i := range got.Pieces() {
			off, length := got.Bounds(i)
			if got.Sum(i) != sha1.Sum(blob[off:off+length]) {
				t.Errorf("size %d: piece %d has the wrong sum", size, i)
			}
		}
	}
}

func TestMakeInfoRefusesAnotherSize(t *testing.T) {
	blob := testBlob(300 << 10)
	broken := errors.New("disk is on fire")
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
		want string
	}{
		"shorter":  {bytes.NewReader(blob[:len(blob)-1]), int64(len(blob)), "ends after 307199 of its 307200 bytes"},
		"longer":   {bytes.NewReader(blob), int64(len(blob)) - 1, "longer than the 307199 bytes"},
		"empty":    {bytes.NewReader(nil), 0, "at least one"},
		"negative": {bytes.NewReader(nil), -1, "at least one"},
		"huge":     {bytes.NewReader(nil), 1 << 50, "too many"},
		"failing":  {io.MultiReader(bytes.NewReader(blob[:9]), iotest.ErrReader(broken)), int64(len(blob)), "disk is on fire"},
	} {
		if _, err := MakeInfo(c.r, c.size); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestPieceLengthFollowsTheMeasurements(t *testing.T) {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	for size, want := range map[int64]int64{
		1: 256 * kib, 100 * mib: 256 * kib, 512 * mib: 256 * kib, 1 * gib: mib, 2 * gib: mib,
		4 * gib: 2 * mib, 8 * gib: 4 * mib, 100 * gib: 4 * mib,
	} {
		if got := PieceLength(size); got != want {
			t.Errorf("PieceLength(%d) = %d, want %d", size, got, want)
		}
	}
}

func TestParseInfoRefusesWhatWeDoNotWrite(t *testing.T) {
	info, ref := testInfo(t, testBlob(600<<10))
	edit := func(old, new string) []byte { return bytes.Replace(info, []byte(old), []byte(new), 1) }
	for name, bad := range map[string][]byte{
		"nothing":              nil,
		"cut off":              info[:len(info)-1],
		"with a tail":          append(slices.Clone(info), 'x'),
		"public":               edit("7:privatei1ee", "7:privatei0ee"),
		"several files":        edit("6:length", "5:files"),
		"another size":         edit("lengthi614400e", "lengthi914400e"),
		"a negative size":      edit("lengthi614400e", "lengthi-14400e"),
		"a padded number":      edit("lengthi614400e", "lengthi0614400e"),
		"an overflowing size":  edit("lengthi614400e", "lengthi99999999999999999999e"),
		"a path for a name":    edit(ref.Digest.String()[:8], "../../.."),
		"capitals in the name": edit(ref.Digest.String(), strings.ToUpper(ref.Digest.String())),
		"odd pieces":           edit("piece lengthi262144e", "piece lengthi262145e"),
		"tiny pieces":          edit("piece lengthi262144e", "piece lengthi1e"),
		"huge pieces":          edit("piece lengthi262144e", "piece lengthi1073741824e"),
		"too few sums":         edit("pieces60:", "pieces40:"),
		"endless sums":         edit("pieces60:", "pieces9223372036854775807:"),
		"megabytes":            bytes.Repeat([]byte{'d'}, MaxInfo+1),
	} {
		if _, err := ParseInfo(bad); !errors.Is(err, ErrInfo) {
			t.Errorf("%s: got error %v, want ErrInfo", name, err)
		}
	}
	other := ref
	other.Size++
	if _, err := parseInfoOf(info, other); !errors.Is(err, ErrInfo) {
		t.Errorf("of another size than the manifest's: got error %v, want ErrInfo", err)
	}
}

func FuzzParseInfo(f *testing.F) {
	info, _ := testInfo(f, testBlob(300<<10))
	f.Add(info)
	f.Add([]byte("d6:lengthi1e4:name64:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := ParseInfo(b)
		if err == nil && !bytes.Equal(i.encode(), b) {
			t.Errorf("accepted %q, which is not what it would write", b)
		}
	})
}

func TestTorrentFileIsReadByAStandardLibrary(t *testing.T) {
	blob := testBlob(700 << 10)
	info, ref := testInfo(t, blob)
	urls := []string{"http://10.0.0.1:7601/announce", "http://10.0.0.2:7601/announce"}
	m, err := metainfo.Load(bytes.NewReader(TorrentFile(info, urls)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(m.UpvertedAnnounceList()), "[["+urls[0]+"] ["+urls[1]+"]]"; got != want {
		t.Errorf("trackers: got %s, want %s", got, want)
	}
	if m.HashInfoBytes() != metainfo.Hash(InfoHash(info)) {
		t.Errorf("info hash: got %s, want %s", m.HashInfoBytes(), InfoHash(info))
	}
	i, err := m.UnmarshalInfo()
	if err != nil {
		t.Fatal(err)
	}
	if i.Name != ref.Digest.String() || i.Length != ref.Size || i.Private == nil || !*i.Private {
		t.Errorf("got name %q, %d bytes, private %v", i.Name, i.Length, i.Private)
	}
	if _, err := metainfo.Load(bytes.NewReader(TorrentFile(info, nil))); err != nil {
		t.Errorf("without a tracker: %v", err)
	}
}
