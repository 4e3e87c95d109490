package seeder

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fileBlob is a blob in a file.
type fileBlob struct{ file *os.File }

func (f fileBlob) ReadAt(b []byte, off int64) (int, error) { return f.file.ReadAt(b, off) }

func (f fileBlob) File() *os.File { return f.file }

// onDisk returns a blob in a file, and forgets it when the test ends.
func onDisk(t testing.TB, content []byte) fileBlob {
	t.Helper()
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return fileBlob{f}
}

// linked returns the two ends of a connection.
func linked(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

func testOutlet(t testing.TB, conn *net.TCPConn) *outlet {
	t.Helper()
	out, err := newOutlet(conn, newOutletBuffers())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBlocksLeaveUnchangedWithAndWithoutACopy(t *testing.T) {
	blob := testBlob(1<<20 + 77)
	info, _ := testInfo(t, blob)
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	cut := onDisk(t, blob)
	if err := os.Truncate(cut.file.Name(), 1<<19); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		blob io.ReaderAt
		fail bool
	}{
		"in memory":                           {bytes.NewReader(blob), false},
		"a file":                              {onDisk(t, blob), false},
		"a file that sendfile cannot send":    {aside{bytes.NewReader(blob), nil}, false},
		"a file that was cut short":           {cut, true},
		"a file cut short under a whole blob": {aside{bytes.NewReader(blob), cut.file}, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, far := linked(t)
			out := testOutlet(t, conn)
			src := newSource(i, c.blob, nil)
			head := []byte("head")
			sent := make(chan error, 1)
			go func() {
				var err error
				for off := int64(0); off < int64(len(blob)) && err == nil; off += turnLength {
					err = out.send(head, src, off, int(min(turnLength, int64(len(blob))-off)))
				}
				_ = conn.Close()
				sent <- err
			}()
			var want []byte
			for off := 0; off < len(blob); off += turnLength {
				want = append(append(want, head...), blob[off:min(off+turnLength, len(blob))]...)
			}
			got, err := io.ReadAll(far)
			if err != nil {
				t.Error(err)
			}
			err = <-sent
			if c.fail {
				if !errors.Is(err, errUnreadable) || !bytes.HasPrefix(want, got) {
					t.Errorf("got error %v, want %v, after bytes of the blob", err, errUnreadable)
				}
			} else if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes arrived that differ from the %d that were sent (%v)", len(got), len(want), err)
			}
		})
	}
}

// aside is a blob with another file beside it; without one, with a file that nobody can read from.
type aside struct {
	io.ReaderAt
	file *os.File
}

func (a aside) File() *os.File {
	if a.file == nil {
		f, _ := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		return f
	}
	return a.file
}

func TestAPeerThatReadsNothingIsGivenUp(t *testing.T) {
	conn, _ := linked(t)
	out := testOutlet(t, conn)
	out.patience = 100 * time.Millisecond
	blob := testBlob(turnLength)
	src := &source{blob: bytes.NewReader(blob), file: onDisk(t, blob).file}
	var err error
	for err == nil {
		err = out.send(nil, src, 0, turnLength)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// BenchmarkSend measures what a GB costs that leaves by sendfile, and one that is copied. The far end throws it away
// unread, so that nearly all of it is the sender's.
func BenchmarkSend(b *testing.B) {
	blob := testBlob(64 << 20)
	file := onDisk(b, blob)
	for name, src := range map[string]*source{
		"sendfile": {blob: file, file: file.file},
		"copy":     {blob: file},
	} {
		b.Run(name, func(b *testing.B) {
			conn, far := linked(b)
			out := testOutlet(b, conn)
			drained := make(chan error, 1)
			go func() { drained <- discard(far) }()
			head := make([]byte, pieceHeader)
			b.SetBytes(turnLength)
			before := cpuTime(b)
			for n := 0; b.Loop(); n++ {
				if err := out.send(head, src, int64(n)*turnLength%int64(len(blob)), turnLength); err != nil {
					b.Fatal(err)
				}
			}
			used := cpuTime(b) - before
			_ = conn.CloseWrite()
			if err := <-drained; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(used.Seconds()/float64(b.N)/turnLength*1e9, "CPU-s/GB")
		})
	}
}

// discard takes what arrives without reading it.
func discard(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false
			case err != nil:
				failed = err
				return true
			case n == 0:
				return true
			}
		}
	})
	return errors.Join(err, failed)
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
