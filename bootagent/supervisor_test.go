package bootagent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The roles of the test binary in a machine made of namespaces: what prepares the machine, PID 1 of the initramfs, the
// agent, and the image's init.
const (
	makerName = "@test-maker"
	pid1Name  = "@test-pid1"
	imageInit = "/sbin/init"
)

// roleOf returns what a process with that argv[0] does in such a machine, nil for a test run.
func roleOf(argv0 string) func() int {
	return map[string]func() int{makerName: roleMaker, pid1Name: rolePID1, ChildName: roleAgent, imageInit: roleInit, netName: roleNet}[argv0]
}

// program builds this test binary once more, static: in such a machine there is no C library.
func program(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program")
	c := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags", "-s -w", "-o", name, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build the test binary: %v\n%s", err, out)
	}
	return name
}

// pack makes a squashfs of a directory.
func pack(t *testing.T, dir string) string {
	t.Helper()
	packed := filepath.Join(t.TempDir(), "image")
	c := exec.CommandContext(t.Context(), "mksquashfs", dir, packed, "-quiet", "-no-progress", "-noappend", "-noI", "-noD", "-noF", "-noX")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v\n%s", err, out)
	}
	return packed
}

// machine runs program as PID 1 of a machine whose root is a tmpfs, as an initramfs is, and returns what its processes
// wrote. image is a directory to be packed as the image.
func machine(t *testing.T, program, image string) string {
	t.Helper()
	dir := t.TempDir()
	packed := pack(t, image)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program)
	c.Args = []string{makerName, packed, dir}
	c.Env = []string{"HOME=/", "TERM=linux", "BOOTIF=x"}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS, Pdeathsig: unix.SIGKILL}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.WaitDelay = 5 * time.Second
	if err := c.Run(); err != nil {
		t.Fatalf("the machine: %v\n%s", err, out.String())
	}
	return out.String()
}

// roleMaker makes a tmpfs with an initramfs in it the root of this mount namespace, and executes its init.
func roleMaker() int {
	packed, dir := os.Args[1], os.Args[2]
	root := filepath.Join(dir, "initramfs")
	self, err := os.ReadFile("/proc/self/exe")
	do := func(what string, e error) {
		if err == nil && e != nil {
			err = fmt.Errorf("%s: %w", what, e)
		}
	}
	do("descriptors", unix.CloseRange(3, 1<<20, unix.CLOSE_RANGE_CLOEXEC)) // whatever the test was started with
	do("private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	do("mkdir", os.Mkdir(root, 0o755))
	do("tmpfs", unix.Mount("tmpfs", root, "tmpfs", 0, ""))
	for _, m := range basics {
		do("mkdir", os.Mkdir(root+m.target, 0o755))
	}
	do("bind /dev", unix.Mount("/dev", root+"/dev", "", unix.MS_BIND, ""))
	do("proc", unix.Mount("proc", root+"/proc", "proc", 0, ""))
	do("sysfs", unix.Mount("sysfs", root+"/sys", "sysfs", 0, ""))
	do("run", unix.Mount("tmpfs", root+"/run", "tmpfs", 0, ""))
	do("init", os.WriteFile(root+"/init", self, 0o755))
	image, readErr := os.ReadFile(packed)
	do("image", readErr)
	do("work", errors.Join(os.MkdirAll(root+workDir, 0o700), os.WriteFile(root+workDir+"/image", image, 0o400)))
	do("old", os.Mkdir(root+"/old", 0o755))
	do("chdir", os.Chdir(root))
	do("pivot", unix.PivotRoot(".", "old"))
	do("chdir", os.Chdir("/"))
	do("detach", unix.Unmount("/old", unix.MNT_DETACH))
	if err == nil {
		err = syscall.Exec("/init", []string{pid1Name, "single"}, os.Environ())
	}
	fmt.Println("maker:", err)
	return 1
}

func rolePID1() int {
	s := &supervisor{log: quietLog(), args: os.Args[1:], env: os.Environ()}
	fmt.Println("pid1:", s.run(context.Background()))
	return 1
}

// roleAgent dies once, asks for an init that is not there, and then for the right one.
func roleAgent() int {
	fail := func(err error) int { fmt.Println("agent:", err); return 1 }
	if _, err := os.Stat("/run/died"); err != nil {
		_ = os.WriteFile("/run/died", nil, 0o600)
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	fmt.Println("agent: the one before", os.Args[1])
	l, err := openLink()
	if err != nil {
		return fail(err)
	}
	layout := rootLayout{image: workDir + "/image", lower: lowerDir, rw: rwDir, root: newRoot}
	for range 2 { // the second after what a failed attempt left
		if err := layout.mount(); err != nil {
			return fail(err)
		}
	}
	root, err := os.Open(newRoot)
	if err != nil {
		return fail(err)
	}
	fmt.Println("agent:", l.switchTo(context.Background(), []string{"/no/such/init"}))
	if err := l.switchTo(context.Background(), []string{"/etc/init", imageInit}); err != nil {
		return fail(err)
	}
	out := os.NewFile(uintptr(must(unix.Dup(1))), "out")
	unix.CloseOnExec(int(out.Fd()))
	if err := enter(root); err != nil {
		return fail(err)
	}
	proof, err := os.ReadFile("/proof")
	fmt.Fprintf(out, "agent: sees %s %v\n", proof, err)
	return 0
}

func must(fd int, err error) int {
	if err != nil {
		return -1
	}
	return fd
}

// roleInit tells what it finds, when the agent has ended.
func roleInit() int {
	var status unix.WaitStatus
	_, err := unix.Wait4(-1, &status, 0, nil)
	fmt.Println("init: pid", os.Getpid(), "args", os.Args, "env", os.Environ(), "agent", status.ExitStatus(), err)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	fmt.Printf("init: mounts %v\n%s", err, mounts)
	fmt.Println("init: write", os.WriteFile("/etc-new", []byte("x"), 0o600))
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if len(fd.Name()) > 1 || fd.Name() > "2" {
			inherited := err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/proc/")
			fmt.Println("init: inherited", inherited, to)
		}
	}
	return 0
}

// imageTree returns a directory that holds program as its init.
func imageTree(t *testing.T, program string) string {
	t.Helper()
	dir := tree(t, map[string]string{"proof": "image", "sbin": "->usr/sbin", "usr/sbin/": "", "usr/sbin/init": "->/lib/real", "lib/": ""})
	self, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	to, err := os.OpenFile(dir+"/lib/real", os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, self)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The whole way of PID 1, on real mounts: an agent that dies, a refused switch, the switch, and the image's init.
func TestSupervisorBecomesTheImagesInit(t *testing.T) {
	p := program(t)
	out := machine(t, p, imageTree(t, p))
	for _, want := range []string{
		"agent: the one before was killed by SIGKILL\n",
		"agent: image: no init: none of /no/such/init is a program\n",
		"agent: sees image <nil>\n",
		"init: pid 1 args [/sbin/init single] env [HOME=/ TERM=linux BOOTIF=x] agent 0 <nil>\n",
		"init: write <nil>\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the machine did not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "init: inherited true") {
		t.Errorf("the image's init has descriptors of the initramfs:\n%s", out)
	}
	mounted := map[string]string{} // by mount point: type, source, options
	for line := range strings.Lines(out) {
		if at, rest, ok := strings.Cut(line, " - "); ok {
			mounted[strings.Fields(at)[4]] = rest
		}
	}
	for at, want := range map[string]string{"/": "overlay", lowerDir: "squashfs /dev/loop", rwDir: "tmpfs", "/proc": "proc", "/run": "tmpfs"} {
		if !strings.HasPrefix(mounted[at], want) {
			t.Errorf("%s is %q, want %s; mounts: %v", at, mounted[at], want, mounted)
		}
	}
	if !slices.Contains(strings.FieldsFunc(mounted["/"], func(r rune) bool { return r == ',' || r == ' ' }), "lowerdir="+lowerDir) {
		t.Errorf("the root's lower layer is not the image: %s", mounted["/"])
	}
}
