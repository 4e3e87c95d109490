package blob

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"golang.org/x/sys/unix"
)

// The test binary starts itself again as one of these programs, named by this variable, in the directory that is its
// only argument.
const program = "SAMARA_BLOB_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(program) {
	case "writer":
		os.Exit(writeForever(os.Args[1]))
	case "full disk":
		os.Exit(fillDisk(os.Args[1]))
	}
	os.Exit(m.Run())
}

func startProgram(t *testing.T, name, dir string) (*exec.Cmd, io.Reader) {
	t.Helper()
	c := exec.Command(os.Args[0], dir)
	c.Env = append(os.Environ(), program+"="+name)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	must(t, err)
	if name == "full disk" {
		// A mount namespace of its own, and a user namespace so that no privilege is needed for it.
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	must(t, c.Start())
	return c, out
}

// writeForever commits and adopts blob after blob and prints the digest of each when it is durable.
func writeForever(dir string) int {
	s, err := Open(dir)
	for i := 0; err == nil; i += 2 {
		err = errors.Join(
			printed(write(s, noise(byte(i), rand.IntN(3*chunkSize)+1))),
			printed(adopt(s, noise(byte(i+1), rand.IntN(3*chunkSize)+1))))
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func printed(b fleet.Blob, err error) error {
	if err == nil {
		fmt.Println(b.Digest)
	}
	return err
}

func write(s *Store, content []byte) (fleet.Blob, error) {
	w, err := s.Create()
	if err != nil {
		return fleet.Blob{}, err
	}
	defer w.Abort()
	for part := range slices.Chunk(content, 64<<10) {
		if _, err := w.Write(part); err != nil {
			return fleet.Blob{}, err
		}
	}
	return w.Commit()
}

func adopt(s *Store, content []byte) (fleet.Blob, error) {
	tmp, err := s.TempDir()
	if err != nil {
		return fleet.Blob{}, err
	}
	defer tmp.Remove()
	path := tmp.Path() + "/file"
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fleet.Blob{}, err
	}
	return s.Adopt(context.Background(), path)
}

func TestKilledWriterLeavesNoTornBlob(t *testing.T) {
	dir := t.TempDir()
	for range 20 {
		c, out := startProgram(t, "writer", dir)
		lines := bufio.NewReader(out)
		_, err := lines.ReadString('\n') // it is at work
		must(t, err)
		kill := time.AfterFunc(rand.N(40*time.Millisecond), func() { _ = c.Process.Kill() })
		told, err := io.ReadAll(lines)
		must(t, err)
		kill.Stop()
		_ = c.Wait()

		s := openStore(t, dir)
		if got := names(t, s.tmp()); len(got) != 0 {
			t.Fatalf("left in tmp: %q", got)
		}
		blobs, err := s.List()
		must(t, err)
		held := map[string]bool{}
		for _, b := range blobs {
			held[b.Digest.String()] = true
			if err := s.Verify(t.Context(), b.Digest); err != nil {
				t.Fatal(err)
			}
			if _, err := readAll(s, b.Digest); err != nil {
				t.Fatal(err)
			}
			must(t, s.Remove(b.Digest))
		}
		for line := range strings.Lines(string(told)) {
			if whole := strings.HasSuffix(line, "\n"); whole && !held[strings.TrimSpace(line)] {
				t.Fatalf("blob %s was committed, and is lost", line)
			}
		}
		if got := names(t, dir); len(got) != 1 {
			t.Fatalf("left in the store: %q", got)
		}
	}
}

// fillDisk writes a blob that is larger than the file system and prints the error.
func fillDisk(dir string) int {
	err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m")
	}
	var s *Store
	if err == nil {
		s, err = Open(dir)
	}
	if err == nil {
		_, err = write(s, noise(1, chunkSize))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, full := write(s, noise(2, 4*chunkSize))
	fmt.Printf("%v: %v\n", errors.Is(full, unix.ENOSPC), full)
	return listAll(dir)
}

func listAll(dir string) int {
	for _, d := range []string{dir, dir + "/tmp"} {
		entries, err := os.ReadDir(d)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for _, e := range entries {
			fmt.Println(len(e.Name()))
		}
	}
	return 0
}

func TestFullDiskIsOneLineAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	c, out := startProgram(t, "full disk", dir)
	b, err := io.ReadAll(out)
	must(t, err)
	must(t, c.Wait())
	// What is left: the blob that fitted, its sums, and an empty tmp.
	want := "true: write blob: write " + dir + "/tmp/file-*: no space left on device: free space on the file system of " + dir +
		", or delete an image (samara image delete)\n64\n69\n3\n"
	first, rest, _ := strings.Cut(string(b), "file-")
	_, rest, _ = strings.Cut(rest, ":")
	if got := first + "file-*:" + rest; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
