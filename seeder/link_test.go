package seeder

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// backlog writes to a connection that nobody reads until it takes no more, and returns how many bytes wait unsent.
func backlog(t *testing.T, conn net.Conn) int {
	t.Helper()
	block := make([]byte, 16<<10)
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(block); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	waiting := 0
	var failed error
	if err := raw.Control(func(fd uintptr) { waiting, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return waiting
}

func TestLittleWaitsUnsent(t *testing.T) {
	l, err := openPort(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := newDialer(netip.MustParseAddr("127.0.0.2"), openClient(t, 2, nil))
	dialled, err := d.DialContext(t.Context(), "tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for name, conn := range map[string]net.Conn{"called": dialled, "calling": accepted} {
		if n := backlog(t, conn); n > 4*unsent {
			t.Errorf("%d bytes wait for a peer that was %s", n, name)
		}
	}
}
