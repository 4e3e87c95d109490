package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/samara-hpc/samara/internal/blob"
	"golang.org/x/sys/unix"
)

// The test binary starts itself again as one of these programs, named by this variable. Its argument is the directory
// of a store, its standard input a tar to import.
const program = "SAMARA_IMAGE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(program) {
	case "import":
		os.Exit(importStdin(os.Args[1]))
	case "full disk":
		os.Exit(importToFullDisk(os.Args[1]))
	}
	os.Exit(m.Run())
}

// importStdin imports and prints the error.
func importStdin(dir string) int {
	store, err := blob.Open(dir)
	if err == nil {
		_, err = Import(context.Background(), store, Options{Tar: os.Stdin})
	}
	fmt.Printf("%v: %v\n", errors.Is(err, unix.ENOSPC), err)
	return 0
}

// importToFullDisk does the same on a file system of 1 MiB, and prints what is left there.
func importToFullDisk(dir string) int {
	err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	importStdin(dir)
	for _, d := range []string{dir, filepath.Join(dir, "tmp")} {
		entries, err := os.ReadDir(d)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	}
	return 0
}

func startProgram(t *testing.T, name, dir string, out io.Writer) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	c := exec.Command(os.Args[0], dir)
	c.Env = append(os.Environ(), program+"="+name)
	c.Stdout, c.Stderr = out, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if name == "full disk" {
		// A mount namespace of its own, and a user namespace so that no privilege is needed for it.
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	in, err := c.StdinPipe()
	must(t, err)
	must(t, c.Start())
	return c, in
}

func TestFullDiskIsOneLineAndLeavesNothing(t *testing.T) {
	var out bytes.Buffer
	c, in := startProgram(t, "full disk", t.TempDir(), &out)
	stream := makeTar(t, append(bootable(), tarFile{name: "large", text: noise(4 << 20)}))
	if _, err := in.Write(stream); err != nil && !errors.Is(err, unix.EPIPE) {
		t.Fatal(err)
	}
	_ = in.Close()
	must(t, c.Wait())
	want := "true: import image: mksquashfs: no space left on device: free space on the file system of the blob store, or delete an image (samara image delete)\ntmp\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestKilledImportTakesItsChildrenAlong(t *testing.T) {
	dir := t.TempDir()
	c, in := startProgram(t, "import", dir, io.Discard)
	stream := makeTar(t, append(bootable(), tarFile{name: "large", text: noise(8 << 20)}))
	// More than all pipes on the way hold: mksquashfs is at work when the last byte is taken.
	_, err := in.Write(stream[:len(stream)-1<<20])
	must(t, err)
	children := childrenOf(t, c.Process.Pid)
	if len(children) != 1 {
		t.Fatalf("got %d children, want mksquashfs", len(children))
	}
	must(t, c.Process.Kill())
	_ = c.Wait()
	for _, fd := range children {
		waitForEnd(t, fd)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) == 0 {
		t.Errorf("the import was not in the middle: %v %v", left, err)
	}
	store, err := blob.Open(dir)
	must(t, err)
	wantEmpty(t, store)
}

// childrenOf returns a pidfd for each child of a process.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	must(t, err)
	var fds []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		must(t, err)
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			must(t, err)
			fd, err := unix.PidfdOpen(child, 0)
			must(t, err)
			t.Cleanup(func() { _ = unix.Close(fd) })
			fds = append(fds, fd)
		}
	}
	return fds
}

// waitForEnd waits for the process of a pidfd to end.
func waitForEnd(t *testing.T, fd int) {
	t.Helper()
	const patience = 20_000 // milliseconds
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			t.Errorf("a child outlived its parent: %v", err)
		}
		return
	}
}
