package tftp

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	wire "github.com/pin/tftp/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server on loopback and returns its address and where outcomes arrive.
func serve(t *testing.T, files Files) (string, <-chan Transfer) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan Transfer, 100)
	s := New(files.Resolve, func(tr Transfer) { done <- tr })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return conn.LocalAddr().String(), done
}

func fetch(t *testing.T, addr, name string, block int) ([]byte, error) {
	t.Helper()
	c, err := wire.NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	if block > 0 {
		c.SetBlockSize(block)
	}
	c.RequestTSize(true)
	r, err := c.Receive(name, "octet")
	if err != nil {
		return nil, err
	}
	if size, ok := r.(wire.IncomingTransfer).Size(); !ok || size == 0 {
		t.Errorf("%s: the server did not say its size", name)
	}
	var b bytes.Buffer
	_, err = r.WriteTo(&b)
	return b.Bytes(), err
}

func TestFilesArriveWhole(t *testing.T) {
	data := make([]byte, 70_000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	files := Files{"snponly.efi": data, "block.bin": data[:1024]}
	addr, done := serve(t, files)
	for name, c := range map[string]struct {
		file  string
		want  string
		block int
	}{
		"default block":        {"snponly.efi", "snponly.efi", 0},
		"large block":          {"snponly.efi", "snponly.efi", 1468},
		"leading slashes":      {"//snponly.efi", "snponly.efi", 1468},
		"whole last block":     {"block.bin", "block.bin", 512},
		"block beyond the MTU": {"snponly.efi", "snponly.efi", 65464},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fetch(t, addr, c.file, c.block)
			if err != nil || !bytes.Equal(got, files[c.want]) {
				t.Fatalf("got %d bytes, error %v; want the %d of %s", len(got), err, len(files[c.want]), c.want)
			}
			if tr := <-done; tr.Err != nil || tr.File != c.want || tr.Bytes != int64(len(got)) || !tr.Client.Addr().IsLoopback() {
				t.Errorf("got outcome %+v", tr)
			}
		})
	}
}

func TestOnlyTheNamesAreServed(t *testing.T) {
	addr, done := serve(t, Files{"a": []byte("x")})
	for _, name := range []string{"b", "", "../a", "./a", "a/", "etc/passwd", `\a`, "A"} {
		if _, err := fetch(t, addr, name, 0); err == nil {
			t.Errorf("%q was served", name)
		}
		if tr := <-done; !errors.Is(tr.Err, fs.ErrNotExist) {
			t.Errorf("%q: got outcome %+v, want not found", name, tr)
		}
	}
}

func TestNothingCanBeWritten(t *testing.T) {
	addr, _ := serve(t, Files{"a": []byte("x")})
	c, err := wire.NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send("a", "octet"); err == nil {
		t.Error("a write request was accepted")
	}
}

func TestTransfersAreBounded(t *testing.T) {
	s := New(Files{}.Resolve, nil)
	s.ctx = t.Context()
	one := netip.MustParseAddr("10.1.0.1")
	var releases []func()
	for range maxPerClient {
		_, release, err := s.admit(one)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if _, _, err := s.admit(one); !errors.Is(err, errBusy) {
		t.Errorf("one client more than %d times: got %v, want busy", maxPerClient, err)
	}
	for i := range MaxTransfers - maxPerClient {
		_, release, err := s.admit(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}))
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if _, _, err := s.admit(netip.MustParseAddr("10.3.0.1")); !errors.Is(err, errBusy) {
		t.Errorf("more than %d in all: got %v, want busy", MaxTransfers, err)
	}
	for _, release := range releases {
		release()
	}
	if s.total != 0 || len(s.clients) != 0 {
		t.Errorf("after all were released: %d transfers of %d clients", s.total, len(s.clients))
	}
}

func FuzzResolve(f *testing.F) {
	for _, name := range []string{"a", "/a", "../a", "", "\x00", strings.Repeat("/", 500) + "a", strings.Repeat("x", 500)} {
		f.Add(name)
	}
	files := Files{"a": []byte("x"), "dir/b": []byte("y")}
	f.Fuzz(func(t *testing.T, name string) {
		known, data, err := files.Resolve(name)
		if err != nil {
			if known != "" || data != nil || !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("%q: got %q, %q, %v", name, known, data, err)
			}
			return
		}
		if want, ok := files[known]; !ok || !bytes.Equal(want, data) || strings.TrimLeft(name, "/") != known {
			t.Fatalf("%q: got %q", name, known)
		}
	})
}
