package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A rootStore is Roots of one blob in memory.
type rootStore struct {
	digest fleet.Digest
	bytes  []byte
	broken int64         // reads from there on fail; 0 for none
	reads  chan struct{} // if not nil, takes a value from each read
	gate   chan struct{} // if not nil, reads wait until it is closed
	open   sync.WaitGroup
}

type openRoot struct {
	*rootStore
	*bytes.Reader
}

func (s *rootStore) OpenRoot(d fleet.Digest) (Root, error) {
	if d != s.digest {
		return nil, fmt.Errorf("root: %w", fleet.ErrNotFound)
	}
	s.open.Add(1)
	return openRoot{s, bytes.NewReader(s.bytes)}, nil
}

func (r openRoot) Close() error { r.open.Done(); return nil }

func (r openRoot) ReadAt(b []byte, off int64) (int, error) {
	if r.gate != nil {
		r.reads <- struct{}{}
		<-r.gate
	}
	if r.broken > 0 && off+int64(len(b)) > r.broken {
		return 0, errors.New("the disk lies")
	}
	return r.Reader.ReadAt(b, off)
}

// A ranger is a server with one root, and nodes that ask for its ranges.
type ranger struct {
	*rig
	t     *testing.T
	roots *rootStore
}

func newRanger(t *testing.T) *ranger {
	t.Helper()
	content := make([]byte, 3<<20+17)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(content)
	roots := &rootStore{digest: fleet.Digest{1}, bytes: content}
	return &ranger{newRig(t, func(c *Config) { c.Roots = roots }), t, roots}
}

func (r *ranger) node(name string) *Client {
	r.t.Helper()
	if _, ok := r.State().Node(name); !ok {
		propose(r.t, r.memory, fleet.AddNodes{Nodes: []fleet.Node{{Name: name}}})
	}
	return r.remote(r.t, identity.Subject{Role: identity.RoleNode, Name: name})
}

// get asks for a range of a blob. The body is closed when the test ends.
func (r *ranger) get(c *Client, digest, ranges string) *http.Response {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, c.targets[0].base+fleet.AgentBlobPath+digest, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if ranges != "" {
		q.Header.Set("Range", ranges)
	}
	a, err := c.http.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = a.Body.Close() })
	return a
}

func TestNodesGetRangesOfRoots(t *testing.T) {
	r := newRanger(t)
	node, root, size := r.node("n1"), r.roots.digest.String(), len(r.roots.bytes)
	for ranges, want := range map[string][2]int{
		"bytes=0-0":             {0, 1},
		"bytes=1000-1048999":    {1000, 1049000},
		"bytes=3145728-3145744": {3 << 20, size},
		"bytes=3145744-9999999": {size - 1, size},
		"bytes=0-16777215":      {0, size},
	} {
		t.Run(ranges, func(t *testing.T) {
			a := r.get(node, root, ranges)
			got, err := io.ReadAll(a.Body)
			if err != nil || a.StatusCode != http.StatusPartialContent || !bytes.Equal(got, r.roots.bytes[want[0]:want[1]]) {
				t.Fatalf("%s, %d bytes, %v; want %d", a.Status, len(got), err, want[1]-want[0])
			}
			if place := fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size); a.Header.Get("Content-Range") != place {
				t.Errorf("Content-Range %q, want %q", a.Header.Get("Content-Range"), place)
			}
		})
	}
	r.roots.open.Wait()
}

func TestRangesThatAreRefused(t *testing.T) {
	r := newRanger(t)
	node, root := r.node("n1"), r.roots.digest.String()
	for what, c := range map[string]struct {
		digest, ranges string
		status         int
		code           string
	}{
		"the whole":              {root, "", http.StatusBadRequest, "invalid"},
		"an open end":            {root, "bytes=0-", http.StatusBadRequest, "invalid"},
		"the last bytes":         {root, "bytes=-5", http.StatusBadRequest, "invalid"},
		"two ranges":             {root, "bytes=0-1,5-6", http.StatusBadRequest, "invalid"},
		"another unit":           {root, "pieces=0-1", http.StatusBadRequest, "invalid"},
		"backwards":              {root, "bytes=5-4", http.StatusBadRequest, "invalid"},
		"a sign":                 {root, "bytes=+1-4", http.StatusBadRequest, "invalid"},
		"beyond 2^63":            {root, "bytes=0-18446744073709551615", http.StatusBadRequest, "invalid"},
		"more than is sent":      {root, "bytes=0-16777216", http.StatusBadRequest, "invalid"},
		"beyond the end":         {root, "bytes=3145745-3145746", http.StatusRequestedRangeNotSatisfiable, "beyond_end"},
		"no digest":              {"zz", "bytes=0-0", http.StatusBadRequest, "invalid"},
		"a kernel":               {fleet.Digest{3}.String(), "bytes=0-0", http.StatusNotFound, "not_found"},
		"what no image names":    {fleet.Digest{99}.String(), "bytes=0-0", http.StatusNotFound, "not_found"},
		"climbing":               {"..%2f..%2fkeys", "bytes=0-0", http.StatusBadRequest, "invalid"},
		"an upper-case root's d": {strings.ToUpper(fleet.Digest{0xab}.String()), "bytes=0-0", http.StatusBadRequest, "invalid"},
	} {
		t.Run(what, func(t *testing.T) {
			a := r.get(node, c.digest, c.ranges)
			body, err := io.ReadAll(a.Body)
			if err != nil || a.StatusCode != c.status || !strings.Contains(string(body), `"code":"`+c.code+`"`) {
				t.Errorf("%s %s, %v; want %d %s", a.Status, body, err, c.status, c.code)
			}
		})
	}
	if got := r.server.Ranges(); got != (RangeCounts{}) {
		t.Errorf("counted %+v, want nothing", got)
	}
}

func TestADamagedRootIsNotSentOn(t *testing.T) {
	r := newRanger(t)
	r.roots.broken = 1 << 20
	node := r.node("n1")
	if a := r.get(node, r.roots.digest.String(), "bytes=1048576-1048580"); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("damaged from the first byte on: %s, want 503", a.Status)
	}
	a := r.get(node, r.roots.digest.String(), "bytes=0-3000000")
	got, err := io.ReadAll(a.Body)
	if err == nil || len(got) > 1<<20 || !bytes.Equal(got, r.roots.bytes[:len(got)]) {
		t.Errorf("damaged later on: %d bytes, %v; want the right ones, and a torn answer", len(got), err)
	}
}

func TestFewNodesAreSentRangesAtOnce(t *testing.T) {
	r := newRanger(t)
	r.roots.reads, r.roots.gate = make(chan struct{}, 2*maxRanges), make(chan struct{})
	root := r.roots.digest.String()
	var sending sync.WaitGroup
	for i := range maxRanges {
		node := r.node(fmt.Sprint("busy", i))
		sending.Go(func() {
			a := r.get(node, root, "bytes=0-9")
			if b, err := io.ReadAll(a.Body); err != nil || len(b) != 10 {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	for range maxRanges {
		<-r.roots.reads
	}
	if now := r.server.Ranges().Now; now != maxRanges {
		t.Errorf("%d are being sent, want %d", now, maxRanges)
	}
	for _, name := range []string{"n1", "busy0"} {
		a := r.get(r.node(name), root, "bytes=0-9")
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if a.StatusCode != http.StatusServiceUnavailable || err != nil || wait < 1 || wait > 30 {
			t.Errorf("%s: %s, Retry-After %q", name, a.Status, a.Header.Get("Retry-After"))
		}
	}
	if got := r.server.Ranges().Refused; got != 2 {
		t.Errorf("counted %d refusals, want 2", got)
	}
	close(r.roots.gate)
	sending.Wait()
	for { // the last byte of an answer is read before its place is free
		a := r.get(r.node("n1"), root, "bytes=0-9")
		if a.StatusCode == http.StatusPartialContent {
			break
		}
		if a.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("when there is room again: %s", a.Status)
		}
	}
	if got := r.server.Ranges(); got.Bytes < 10*maxRanges || got.Served < maxRanges {
		t.Errorf("counted %+v", got)
	}
}

func TestACrowdComesBackApart(t *testing.T) {
	var r ranges
	now := time.Unix(1e9, 0)
	for i := range maxRanges {
		if _, ok := r.begin(fmt.Sprint("n", i), now); !ok {
			t.Fatal("refused while there is room")
		}
	}
	longest := func(asking int) (most time.Duration) {
		for i := range asking {
			wait, ok := r.begin(fmt.Sprint("late", i), now)
			if ok || wait < time.Second || wait > longestWait+time.Second {
				t.Fatalf("wait %s, let in %v", wait, ok)
			}
			most = max(most, wait)
		}
		return most
	}
	if most := longest(4); most > 3*time.Second {
		t.Errorf("four wait up to %s", most)
	}
	now = now.Add(refusalsKept)
	if most := longest(2000); most < longestWait/2 {
		t.Errorf("two thousand come back within %s", most)
	}
	now = now.Add(2 * refusalsKept)
	if most := longest(4); most > 3*time.Second {
		t.Errorf("four that come later wait up to %s", most)
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=5-4", "bytes=0-16777215", "bytes=4611686018427387903-4611686018427387903", "bytes=-1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, length, err := parseRange(text)
		if err != nil {
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if first < 0 || length < 1 || length > MaxRange || first+length < 0 {
			t.Errorf("%q: %d bytes from %d", text, length, first)
		}
	})
}
