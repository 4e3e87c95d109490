package seeder

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// writePatience is how long a peer may take for one write, of turnLength at most: who reads slower holds up what it was
// shown.
const writePatience = 10 * time.Second

// An outlet writes to a peer.
type outlet struct {
	conn     *net.TCPConn
	raw      syscall.RawConn
	buffers  *sync.Pool // *[]byte of pieceHeader and turnLength bytes
	patience time.Duration
}

func newOutlet(conn *net.TCPConn, buffers *sync.Pool) (*outlet, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &outlet{conn: conn, raw: raw, buffers: buffers, patience: writePatience}, nil
}

// newOutletBuffers returns what outlets copy through.
func newOutletBuffers() *sync.Pool {
	return &sync.Pool{New: func() any {
		b := make([]byte, pieceHeader+turnLength)
		return &b
	}}
}

// write writes all of b.
func (o *outlet) write(b []byte) error {
	if err := o.conn.SetWriteDeadline(time.Now().Add(o.patience)); err != nil {
		return err
	}
	_, err := o.conn.Write(b)
	return err
}

// errUnreadable is in an error that is the blob's and not the peer's.
var errUnreadable = errors.New("reading the blob")

// send writes head, at most pieceHeader bytes, and then length bytes of a source from an offset on, at most turnLength.
// Where the source is a file the kernel sends it without a copy. What the kernel cannot send, for whatever reason, is
// read and written. The error is errUnreadable if that is the blob's fault; part may have been written by then.
func (o *outlet) send(head []byte, s *source, off int64, length int) error {
	if s.file == nil {
		return o.copy(head, s.blob, off, length)
	}
	written, err := o.sendFile(head, s.file, off, length)
	if err == nil {
		return nil
	}
	sent := max(0, written-len(head))
	return o.copy(head[min(written, len(head)):], s.blob, off+int64(sent), length-sent)
}

// copy writes head and a part of a blob through a buffer.
func (o *outlet) copy(head []byte, blob io.ReaderAt, off int64, length int) error {
	buf := o.buffers.Get().(*[]byte)
	defer o.buffers.Put(buf)
	all := (*buf)[:len(head)+length]
	if err := readFull(blob, all[copy(all, head):], off); err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return o.write(all)
}

// sendFile writes head and a part of a file, whose own offset it leaves alone, and returns how many bytes of the two were
// written.
func (o *outlet) sendFile(head []byte, f *os.File, off int64, length int) (written int, err error) {
	if err := o.conn.SetWriteDeadline(time.Now().Add(o.patience)); err != nil {
		return 0, err
	}
	file, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var sending, waiting error
	// While Control runs, the file's descriptor is not closed, nor given to another file.
	err = file.Control(func(from uintptr) {
		waiting = o.raw.Write(func(to uintptr) bool {
			for written < len(head)+length {
				var n int
				if rest := written - len(head); rest < 0 {
					n, sending = unix.SendmsgN(int(to), head[written:], nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
				} else {
					at := off + int64(rest)
					n, sending = unix.Sendfile(int(to), int(from), &at, length-rest)
				}
				switch {
				case errors.Is(sending, unix.EAGAIN):
					return false
				case errors.Is(sending, unix.EINTR):
				case sending != nil:
					return true
				case n == 0:
					sending = io.ErrUnexpectedEOF // the file was cut short
					return true
				default:
					written += n
				}
			}
			sending = nil
			return true
		})
	})
	if written == len(head)+length {
		return written, nil
	}
	return written, errors.Join(err, waiting, sending)
}
