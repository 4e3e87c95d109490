package netboot

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
)

// Sizes of BenchmarkBootFiles: a rack and a half that asks at once for an initramfs with much firmware in it.
const (
	benchClients = 64
	benchBytes   = 64 << 20
)

// BenchmarkBootFiles has clients ask for one initramfs at once, or for one of two, over loopback: from a bare
// http.ServeContent of bytes in memory, which is what the others are measured against; from a Server; and from one that
// has no room in memory and reads its store. The clients drop what they get without copying it (tcp(7), MSG_TRUNC), so
// that the processors' time is the server's and the kernel's. One op is all clients.
//
// MB/s is all clients together and x-bare that in bare's, cpu-s/GB the process's time, max/min how much longer the last
// client took than the first, heap-MiB the most that the heap grew by.
func BenchmarkBootFiles(b *testing.B) {
	store, err := blob.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for _, images := range []int{1, 2} {
		state, paths := testState(b, 1), []string(nil)
		for i := range images {
			file := fill(b, store, byte(i))
			state = withInitramfs(b, state, fmt.Sprintf("image%d", i), file)
			paths = append(paths, "/blob/"+file.Digest.String())
		}
		bare := 0.0
		for _, c := range []struct {
			name   string
			memory int64 // that is available to the server
		}{{"bare", 0}, {"samara", 1 << 40}, {"store", 0}} {
			b.Run(fmt.Sprintf("%s/images=%d", c.name, images), func(b *testing.B) {
				handler := bareHandler(paths)
				if c.name != "bare" {
					config := testConfig(b, newWitness())
					config.State = func() fleet.State { return state }
					config.Blob = func(d fleet.Digest) (Blob, error) { return store.Open(d) }
					s := open(b, config)
					s.shelf.available = func() int64 { return c.memory }
					handler = s.handler()
				}
				rate := crowd(b, serveBench(b, handler), paths)
				if c.name == "bare" {
					bare = rate
				}
				if bare > 0 {
					b.ReportMetric(rate/bare, "x-bare")
				}
			})
		}
	}
}

// bareHandler serves bytes in memory as net/http does.
func bareHandler(paths []string) http.Handler {
	mux := http.NewServeMux()
	for _, path := range paths {
		data := make([]byte, benchBytes)
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		})
	}
	return mux
}

// serveBench serves a handler on loopback until b ends.
func serveBench(b *testing.B, h http.Handler) net.Addr {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: h}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(newLimited(l, maxConnections, 2*benchClients)) }() // those of the last op may be leaving still
	b.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return l.Addr()
}

// crowd measures benchClients that ask at once, each for one of paths, and returns the bytes per second.
func crowd(b *testing.B, at net.Addr, paths []string) float64 {
	b.Helper()
	for _, path := range paths { // what is read once is read before
		if err := fetch(b.Context(), at, path); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(benchClients * benchBytes)
	heap := watchHeap()
	cpu, spread := cpuTime(b), 0.0
	for b.Loop() {
		took := make([]time.Duration, benchClients)
		failed := make(chan error, benchClients)
		var clients sync.WaitGroup
		begun := time.Now()
		for i := range took {
			clients.Go(func() {
				if err := fetch(b.Context(), at, paths[i%len(paths)]); err != nil {
					failed <- err
				}
				took[i] = time.Since(begun)
			})
		}
		clients.Wait()
		select {
		case err := <-failed:
			b.Fatal(err)
		default:
		}
		spread = max(spread, slices.Max(took).Seconds()/slices.Min(took).Seconds())
	}
	moved := float64(b.N) * benchClients * benchBytes
	b.ReportMetric((cpuTime(b)-cpu).Seconds()/(moved/1e9), "cpu-s/GB")
	b.ReportMetric(spread, "max/min")
	b.ReportMetric(float64(heap())/(1<<20), "heap-MiB")
	return moved / b.Elapsed().Seconds()
}

// fetch asks for path on a connection of its own, and drops the body.
func fetch(ctx context.Context, at net.Addr, path string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", at.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path); err != nil {
		return err
	}
	head := bufio.NewReaderSize(conn, 4096)
	resp, err := http.ReadResponse(head, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != benchBytes {
		return fmt.Errorf("%s, %d bytes", resp.Status, resp.ContentLength)
	}
	dropped, err := drop(conn.(*net.TCPConn), resp.ContentLength-int64(head.Buffered()))
	if err == nil && dropped+int64(head.Buffered()) != resp.ContentLength {
		err = fmt.Errorf("%d bytes dropped: %w", dropped, io.ErrUnexpectedEOF)
	}
	return err
}

// drop takes n bytes from a connection without copying them.
func drop(conn *net.TCPConn, n int64) (dropped int64, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10) // of which nothing is written
	for dropped < n {
		var got int
		var gotErr error
		if err := raw.Read(func(fd uintptr) bool {
			got, _, gotErr = unix.Recvfrom(int(fd), buf[:min(int64(len(buf)), n-dropped)], unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			return gotErr != unix.EAGAIN
		}); err != nil {
			return dropped, err
		}
		if gotErr != nil || got == 0 {
			return dropped, gotErr
		}
		dropped += int64(got)
	}
	return dropped, nil
}

// fill puts an initramfs of benchBytes into a store, another for each number.
func fill(b *testing.B, store *blob.Store, number byte) fleet.Blob {
	b.Helper()
	w, err := store.Create()
	if err != nil {
		b.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for i := range benchBytes / len(block) {
		block[0], block[1] = byte(i), number
		if _, err := w.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	file, err := w.Commit()
	if err != nil {
		b.Fatal(err)
	}
	return file
}

// cpuTime returns what the process has used of the processors (getrusage(2)).
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watchHeap returns a function that says how far the heap has grown at most since watchHeap, and ends the watch.
func watchHeap() func() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapInuse, m.HeapInuse
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return most - before
	}
}
