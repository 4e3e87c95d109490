package netboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
)

// shelfOf returns a shelf over kernel and initramfs, with much memory, and counts how often they are opened.
func shelfOf(t *testing.T) (*shelf, *atomic.Int64) {
	opened := new(atomic.Int64)
	s := newShelf(func(d fleet.Digest) (Blob, error) {
		opened.Add(1)
		return memory(d)
	})
	s.available = func() int64 { return math.MaxInt64 }
	t.Cleanup(s.close)
	return s, opened
}

func TestAFileIsReadOnceHoweverManyAsk(t *testing.T) {
	s, opened := shelfOf(t)
	file := blobOf(4, initramfs)
	first := s.read(t.Context(), file)
	if !bytes.Equal(first, initramfs) {
		t.Fatalf("got %d bytes, want the initramfs", len(first))
	}
	var asking sync.WaitGroup
	for range 64 {
		asking.Go(func() {
			if got := s.read(t.Context(), file); len(got) == 0 || &got[0] != &first[0] {
				t.Errorf("got other bytes than the first who asked")
			}
		})
	}
	asking.Wait()
	if n := opened.Load(); n != 1 {
		t.Errorf("opened %d times, want once", n)
	}
	if files, held := s.holds(); files != 1 || held != file.Size {
		t.Errorf("%d files of %d bytes, want 1 of %d", files, held, file.Size)
	}
}

func TestWhatFindsNoRoomIsLeftToTheStore(t *testing.T) {
	small, large := blobOf(4, initramfs), fleet.Blob{Digest: fleet.Digest{5}, Size: shelfBytes - int64(len(initramfs)) + 1}
	s, _ := shelfOf(t)
	now := time.Unix(1e9, 0)
	s.now = func() time.Time { return now }
	if s.read(t.Context(), small) == nil {
		t.Fatal("an empty shelf has no room")
	}
	for what, b := range map[string]fleet.Blob{"larger than all": {Digest: fleet.Digest{6}, Size: shelfBytes + 1}, "larger than what is left": large, "nothing": {Digest: fleet.Digest{7}}} {
		if s.ask(b) != nil {
			t.Errorf("%s: there is room", what)
		}
	}
	now = now.Add(shelfRest)
	if s.ask(large) == nil {
		t.Error("no room, though the other file rests")
	}
	if _, held := s.holds(); held > shelfBytes {
		t.Errorf("%d bytes held", held)
	}
	s.close()
	if s.ask(blobOf(3, kernel)) != nil {
		t.Error("a closed shelf takes a file")
	}

	s, opened := shelfOf(t)
	s.available = func() int64 { return shelfReserve*small.Size - 1 }
	if s.read(t.Context(), small) != nil || opened.Load() != 0 {
		t.Error("there is room, though memory is low")
	}
}

func TestAFileThatCannotBeReadIsTriedAgain(t *testing.T) {
	file := blobOf(3, kernel)
	var answer func() (Blob, error)
	s, _ := shelfOf(t)
	s.open = func(fleet.Digest) (Blob, error) { return answer() }
	for what, broken := range map[string]func() (Blob, error){
		"not there":            func() (Blob, error) { return nil, fs.ErrNotExist },
		"of another size":      func() (Blob, error) { return &memoryBlob{Reader: bytes.NewReader(initramfs)}, nil },
		"damaged in the midst": func() (Blob, error) { return &memoryBlob{bytes.NewReader(kernel), 1000, errors.New("damaged")}, nil },
	} {
		answer = broken
		if got := s.read(t.Context(), file); got != nil {
			t.Errorf("%s: got %d bytes", what, len(got))
		}
		if files, held := s.holds(); files != 0 || held != 0 {
			t.Errorf("%s: %d files of %d bytes are held", what, files, held)
		}
	}
	answer = func() (Blob, error) { return memory(file.Digest) }
	if !bytes.Equal(s.read(t.Context(), file), kernel) {
		t.Error("not read once it can be")
	}
}

func TestNobodyWaitsLongForTheShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		s := newShelf(func(d fleet.Digest) (Blob, error) {
			<-slow
			return memory(d)
		})
		s.available = func() int64 { return math.MaxInt64 }
		begun := time.Now()
		if s.read(t.Context(), blobOf(3, kernel)) != nil || time.Since(begun) != shelfPatience {
			t.Errorf("waited %s for a disk that hangs, want %s", time.Since(begun), shelfPatience)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if s.read(ctx, blobOf(3, kernel)) != nil || ctx.Err() == nil {
			t.Error("got a file that is on its way still")
		}
		close(slow)
		if !bytes.Equal(s.read(t.Context(), blobOf(3, kernel)), kernel) {
			t.Error("not there after the disk went on")
		}
		s.close()
	})
}

func TestAFileGoesWithItsImage(t *testing.T) {
	c := testConfig(t, newWitness())
	state := c.State()
	c.State = func() fleet.State { return state }
	s, url := web(t, c)
	path := url + "/blob/" + blobOf(3, nil).Digest.String()
	if _, body, err := do(t, http.MethodGet, path); err != nil || body != string(kernel) {
		t.Fatalf("got %d bytes, %v", len(body), err)
	}
	if held := s.Counters().HeldBytes; held != uint64(len(kernel)) {
		t.Fatalf("%d bytes held, want the kernel's", held)
	}
	for _, change := range []fleet.Command{
		fleet.SetNodes{Names: []string{"n1", "n3", "n4"}, Image: &fleet.ImageRef{}}, fleet.DeleteImage{Image: "debian"},
	} {
		next, err := state.Apply(fleet.Entry{Command: change}, state.Revision()+1)
		if err != nil {
			t.Fatal(err)
		}
		state = next
	}
	if resp, _, _ := do(t, http.MethodGet, path); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the kernel of no image: %s", resp.Status)
	}
	if c := s.Counters(); c.HeldFiles != 0 || c.HeldBytes != 0 {
		t.Errorf("%d files of %d bytes are held for no image", c.HeldFiles, c.HeldBytes)
	}
}

// TestADamagedFileIsNeverSent damages a file on the disk before it is read, and after.
func TestADamagedFileIsNeverSent(t *testing.T) {
	content := bytes.Repeat([]byte("initramf"), 3<<17) // 3 MiB
	for name, c := range map[string]struct{ before, after bool }{"before it is held": {true, false}, "while it is held": {false, true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, err := blob.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			w, err := store.Create()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(content)
			file, err := w.Commit()
			if err != nil {
				t.Fatal(err)
			}
			config := testConfig(t, newWitness())
			state := stateWith(t, file)
			config.State = func() fleet.State { return state }
			config.Blob = func(d fleet.Digest) (Blob, error) { return store.Open(d) }
			s, url := web(t, config)
			path := url + "/blob/" + file.Digest.String()
			if c.before {
				damage(t, filepath.Join(dir, file.Digest.String()))
			} else if _, body, err := do(t, http.MethodGet, path); err != nil || body != string(content) {
				t.Fatalf("got %d bytes, %v", len(body), err)
			}
			if c.after {
				damage(t, filepath.Join(dir, file.Digest.String()))
			}
			_, body, err := do(t, http.MethodGet, path)
			if !strings.HasPrefix(string(content), body) || (err == nil) != (body == string(content)) || c.after != (err == nil) {
				t.Errorf("got %d bytes, %v", len(body), err)
			}
			if c.before && s.Counters().HeldBytes != 0 {
				t.Error("a damaged file is held")
			}
		})
	}
}

// damage flips a bit in the middle of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A partWriter notes how long the parts of an answer are.
type partWriter struct {
	*httptest.ResponseRecorder
	parts []int
}

func (w *partWriter) Write(p []byte) (int, error) {
	w.parts = append(w.parts, len(p))
	return w.ResponseRecorder.Write(p)
}

func TestAHeldFileIsWrittenAsItLies(t *testing.T) {
	data := make([]byte, 2*part+5)
	for i := range data {
		data[i] = byte(i >> 10)
	}
	for ranges, c := range map[string]struct {
		from, to int
		parts    string
	}{
		"":                    {0, len(data), "[262144 262144 5]"},
		"bytes=1-":            {1, len(data), "[262144 262144 4]"},
		"bytes=-6":            {len(data) - 6, len(data), "[6]"},
		"bytes=262140-262149": {part - 4, part + 6, "[10]"},
		"bytes=0-0":           {0, 1, "[1]"},
	} {
		w := &partWriter{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Range", ranges)
		to := &tally{ResponseWriter: w, control: http.NewResponseController(w)}
		http.ServeContent(to, r, "x.bin", time.Time{}, newShelfReader(data))
		if got := w.Body.Bytes(); !bytes.Equal(got, data[c.from:c.to]) || fmt.Sprint(w.parts) != c.parts || to.sent != int64(len(got)) {
			t.Errorf("Range %q: %d bytes in parts %v, want %d in %s", ranges, len(got), w.parts, c.to-c.from, c.parts)
		}
	}
	w := &partWriter{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Range", "bytes=0-9,262140-262149")
	http.ServeContent(&tally{ResponseWriter: w, control: http.NewResponseController(w)}, r, "x.bin", time.Time{}, newShelfReader(data))
	if body := w.Body.String(); w.Code != http.StatusPartialContent || !strings.Contains(body, string(data[:10])) || !strings.Contains(body, string(data[part-4:part+6])) {
		t.Errorf("two ranges at once: %d %q", w.Code, body)
	}
}

func TestAvailableMemory(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:       16 kB\nMemAvailable:    5 kB\n": 5 << 10,
		"MemAvailable:   many kB\n":                      math.MaxInt64,
		"MemAvailable:   9223372036854775807 kB\n":       math.MaxInt64,
		"": math.MaxInt64,
	} {
		if got := parseAvailable(strings.NewReader(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if availableMemory() <= 0 {
		t.Error("this machine has no memory")
	}
}

// TestMoreClientsThanPlacesAreServedInTurn has more clients than connections are accepted, each from an address of its
// own: those that find no place wait, and all are served.
func TestMoreClientsThanPlacesAreServedInTurn(t *testing.T) {
	const places, clients = 4, 40
	c := testConfig(t, newWitness())
	var now, most atomic.Int64
	c.Tracker = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for n := now.Add(1); ; {
			if was := most.Load(); n <= was || most.CompareAndSwap(was, n) {
				break
			}
		}
		defer now.Add(-1)
		_, _ = w.Write(kernel)
	})
	s := open(t, c)
	s.web = newLimited(s.web.(*limited).Listener, places, 2)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.runHTTP(ctx) }()
	var asking sync.WaitGroup
	for i := range clients {
		asking.Go(func() {
			from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}
			transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: from}).DialContext}
			defer transport.CloseIdleConnections()
			for _, path := range []string{"/announce", "/blob/" + blobOf(3, nil).Digest.String()} {
				resp, err := (&http.Client{Transport: transport}).Get("http://" + s.web.Addr().String() + path)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || !bytes.Equal(got, kernel) {
					t.Errorf("client %d: %s, %d bytes, %v", i, resp.Status, len(got), err)
				}
			}
		})
	}
	asking.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := most.Load(); n > places {
		t.Errorf("%d requests at once, want at most %d", n, places)
	}
}

// TestBootFilesSpreadOverControllers counts who is asked first for kernel and initramfs, whichever controller writes
// the script.
func TestBootFilesSpreadOverControllers(t *testing.T) {
	const machines = 1000
	all := controllersAt([4]byte{10, 1, 0, 1}, 3)
	state := stateOf(t, all)
	c := testConfig(t, newWitness())
	c.State = func() fleet.State { return state }
	c.Live = func() []fleet.Controller { return all }
	s := open(t, c)
	firsts, seconds := map[string]int{}, map[string]int{}
	for i := range machines {
		mac := fleet.MAC{0x52, 0x54, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		got := s.controllersFor(mac, state)
		for place, want := range fleet.Order(mac, all) {
			if got.files[place].ID != want.ID {
				t.Fatalf("%s: place %d is %s's, want %s", mac, place, got.files[place].ID, want.ID)
			}
		}
		if got.fetch[0].ID != "c1" || got.ask[0].ID != "c1" || len(got.files) != 3 {
			t.Fatalf("%s: %+v, want scripts and answers of this controller first", mac, got)
		}
		firsts[got.files[0].ID]++
		if got.files[0].ID == "c1" {
			seconds[got.files[1].ID]++
		}
	}
	// 1000 throws of a fair die of three: 333, give or take 15; four times that is allowed.
	for id, n := range firsts {
		if n < machines/3-60 || n > machines/3+60 {
			t.Errorf("%s comes first for %d of %d machines: %v", id, n, machines, firsts)
		}
	}
	for id, n := range seconds {
		if n < machines/6-45 || n > machines/6+45 {
			t.Errorf("%s takes %d of the machines of a dead controller: %v", id, n, seconds)
		}
	}
	if len(firsts) != 3 || len(seconds) != 2 {
		t.Errorf("firsts %v, seconds %v", firsts, seconds)
	}
}
