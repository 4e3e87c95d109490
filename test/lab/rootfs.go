package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed" // for rootfs.sh
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// suite is the Debian release that machines boot.
const suite = "bookworm"

//go:embed rootfs.sh
var rootfsScript string

// recipe is the mmdebstrap(1) command line of the root filesystem, without the mirrors and the target: a Debian with
// systemd, ssh and a kernel, less what no compute node reads. The hook that would make an initramfs is left out,
// since Samara makes its own.
func recipe() []string {
	args := []string{
		"--mode=root", "--variant=minbase", "--format=tar", "--keyring=" + debianKeyring,
		"--include=" + strings.Join([]string{"systemd-sysv", "dbus", "udev", "kmod", "util-linux", "procps", "iproute2",
			"openssh-server", "linux-image-amd64"}, ","),
		"--customize-hook=" + rootfsScript,
	}
	for _, path := range []string{
		"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/lib/udev/hwdb.d/*",
		"/etc/kernel/postinst.d/initramfs-tools",
		"/lib/modules/*/kernel/sound/*", "/lib/modules/*/kernel/drivers/gpu/*", "/lib/modules/*/kernel/drivers/media/*",
		"/lib/modules/*/kernel/drivers/iio/*", "/lib/modules/*/kernel/drivers/staging/*",
		"/lib/modules/*/kernel/drivers/net/wireless/*", "/lib/modules/*/kernel/drivers/bluetooth/*",
	} {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	return args
}

// CacheDir returns where root filesystems are kept between runs.
func CacheDir() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "samara")
	}
	return "/var/cache/samara"
}

// A Logf takes note of progress, as log.Printf does.
type Logf func(format string, args ...any)

// Rootfs returns the path of a tar file with the root filesystem that machines boot. The first time it is built from
// Debian's packages, which takes a minute or two and the network; afterwards it is found in dir. It depends on
// nothing but the recipe: another recipe has another name.
func Rootfs(ctx context.Context, dir string, log Logf) (string, error) {
	sum := sha256.Sum256([]byte(suite + "\x00" + strings.Join(recipe(), "\x00")))
	tar := filepath.Join(dir, fmt.Sprintf("debian-%x.tar", sum[:8]))
	if _, err := os.Stat(tar); err == nil {
		log("Debian root filesystem: %s, built earlier", tar)
		return tar, nil
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("build Debian root filesystem: %w", err) }
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"), log)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if _, err := os.Stat(tar); err == nil { // by the one who had the lock
		return tar, nil
	}
	if err := buildRootfs(ctx, dir, tar, log); err != nil {
		return fail(err)
	}
	return tar, nil
}

// buildRootfs makes tar or nothing. Whoever calls it has dir to itself.
func buildRootfs(ctx context.Context, dir, tar string, log Logf) error {
	stale, err := filepath.Glob(filepath.Join(dir, "debian-*.tar*"))
	if err != nil {
		return err
	}
	for _, path := range stale { // other recipes, and builds that were cut short
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	mirrors, err := mirrors(ctx)
	if err != nil {
		return err
	}
	part := tar + ".part"
	defer os.Remove(part) // gone already if all went well
	log("Debian root filesystem: building it with mmdebstrap; this takes a minute or two, once")
	began := time.Now()
	if err := mmdebstrap(ctx, append(append(recipe(), suite, part), mirrors...), log); err != nil {
		return err
	}
	f, err := os.Open(part)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), os.Rename(part, tar)); err != nil {
		return err
	}
	log("Debian root filesystem: %s, %d MB, in %d s", tar, info.Size()/1e6, int(time.Since(began).Seconds()))
	return nil
}

// mmdebstrap runs it, with its progress to log.
func mmdebstrap(ctx context.Context, args []string, log Logf) error {
	c := exec.CommandContext(ctx, "mmdebstrap", args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) } // it unmounts and cleans up
	c.WaitDelay = 20 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go Heartbeat(ctx, 15*time.Second, func() {
		log("  … %d s", int(time.Since(began).Seconds()))
	})
	lines := make(chan []string, 1)
	go func() { lines <- logLines(r, log) }()
	err := c.Run()
	w.Close()
	said := <-lines
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w; it said last:\n  %s\nIs the Debian mirror reachable from here?", err, strings.Join(said, "\n  "))
	}
	return nil
}

// logLines logs the steps that mmdebstrap announces, and returns the last lines of all it says.
func logLines(r io.Reader, log Logf) []string {
	var last []string
	s := bufio.NewScanner(r)
	for s.Scan() {
		if step, ok := strings.CutPrefix(s.Text(), "I: "); ok && strings.HasSuffix(step, "...") {
			log("  %s", strings.TrimSuffix(step, "..."))
		}
		if last = append(last, s.Text()); len(last) > 15 {
			last = last[1:]
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long to scan must not stop mmdebstrap
	return last
}

// mirrors returns lines of sources.list(5) for the suite with this machine's own mirrors, if it runs Debian itself.
// Without any, mmdebstrap takes Debian's.
func mirrors(ctx context.Context) ([]string, error) {
	var main, security string
	out, err := output(exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(out)) {
		switch f := strings.SplitN(strings.TrimSpace(line), "|", 3); {
		case len(f) < 3 || f[0] != "Debian" || strings.ContainsAny(f[2], " []"):
		case f[1] == "Debian":
			main = f[2]
		case f[1] == "Debian-Security":
			security = f[2]
		}
	}
	if main == "" {
		return nil, nil
	}
	lines := []string{"deb " + main + " " + suite + " main", "deb " + main + " " + suite + "-updates main"}
	if security != "" {
		lines = append(lines, "deb "+security+" "+suite+"-security main")
	}
	return lines, nil
}

// lock takes a lock that other processes honour; it ends with the process at the latest.
func lock(ctx context.Context, path string, log Logf) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	told := false
	err = poll(ctx, time.Second, func() (bool, error) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			if !told {
				log("another process holds %s; waiting for it", path)
			}
			told = true
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// Heartbeat calls say every interval until ctx ends.
func Heartbeat(ctx context.Context, interval time.Duration, say func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			say()
		}
	}
}
