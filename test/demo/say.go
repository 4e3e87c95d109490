package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
)

func (d *demo) figuresPath() string { return filepath.Join(d.out, "demo.json") }

func (d *demo) step(format string, args ...any) { d.say("\n== "+format, args...) }

// sayProgress prints one line about a machine that is booting.
func (d *demo) sayProgress(ctx context.Context, vm *lab.VM) {
	boot, _, err := d.controller.Boot(ctx, vm.Name)
	if ctx.Err() != nil {
		return // it has come up in the meantime
	}
	where := lab.Progress(boot, d.image.Root.Size)
	if err != nil {
		where = "the controller does not answer"
	}
	line := vm.Console.LastLine()
	if runes := []rune(line); len(runes) > 100 {
		line = string(runes[:100]) + "…"
	}
	d.say("  %3d s  %s | %s", int(time.Since(vm.On).Seconds()), where, line)
}

// sayTable prints what was measured, one column for each node.
func (d *demo) sayTable() {
	d.step("What was measured")
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(lab.Figures) string) {
		fmt.Fprintf(t, "%s\t", name)
		for _, f := range d.figures {
			fmt.Fprintf(t, "%s\t", cell(f))
		}
		fmt.Fprintln(t)
	}
	row("", func(f lab.Figures) string { return f.Name })
	row("firmware", func(f lab.Figures) string { return string(f.Firmware) })
	for _, phase := range fleet.Phases() {
		row("to "+string(phase), func(f lab.Figures) string {
			if s, ok := f.Phases[string(phase)]; ok {
				return fmt.Sprintf("%.1f s", s)
			}
			return "-"
		})
	}
	row("power-on to login", func(f lab.Figures) string { return fmt.Sprintf("%.1f s", f.Login) })
	row("image", func(f lab.Figures) string { return megabytes(f.Image) })
	row("from the origin", func(f lab.Figures) string { return megabytes(f.Origin) })
	row("from peers", func(f lab.Figures) string { return megabytes(f.Peers) })
	row("RAM for the image", func(f lab.Figures) string { return megabytes(f.RAMImage) })
	_ = t.Flush() // into memory
	d.say("%s", strings.TrimRight(b.String(), "\n"))
	d.say("\nThe same as JSON: %s", d.figuresPath())
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// sayNext prints what a person may want to try.
func (d *demo) sayNext() {
	ssh := "ip netns exec " + networkName + " ssh …"
	if s, err := lab.NewSSH(d.network, d.dir()); err == nil {
		ssh = s.Line(guests()[0].ip)
	}
	d.say(`
Try next, as root:
  export SAMARA_SOCKET=%s
  %[2]s status
  %[2]s controller list
  %[2]s node list
  %[2]s node timeline n4
  %[4]s
  tail -f %[3]s/n1.console
When you have seen enough: make demo-down`, d.controller.Socket, d.binary, d.dir(), ssh)
}

// writeFigures writes what was measured so far. A file that cannot be written costs the demo nothing else.
func (d *demo) writeFigures() {
	b, err := json.MarshalIndent(map[string]any{"accelerator": d.accel, "nodes": d.figures}, "", "  ")
	if err == nil {
		err = errors.Join(os.WriteFile(d.figuresPath(), append(b, '\n'), 0o644), giveToSudoer(d.figuresPath()))
	}
	if err != nil {
		d.say("cannot write the figures: %v", err)
	}
}

// giveToSudoer makes a file belong to whoever called sudo.
func giveToSudoer(path string) error {
	uid, err1 := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, err2 := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err1 != nil || err2 != nil {
		return nil // it was not by sudo
	}
	return os.Chown(path, uid, gid)
}

// runCommand runs c and kills it when ctx ends.
func runCommand(ctx context.Context, c *exec.Cmd) error {
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Kill() })
	defer stop()
	return errors.Join(c.Wait(), ctx.Err())
}

// needMemory is for four machines of 1 GiB, the controllers, and the import of the image.
const needMemory = 5 << 30

// checkMemory returns an error if this host has not the memory for the demo.
func checkMemory() error {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return fmt.Errorf("/proc/meminfo: %w", err)
		}
		if kib<<10 < needMemory {
			return fmt.Errorf("the demo needs %d GB of free memory for its four machines, and this host has %.1f", needMemory>>30, float64(kib)/(1<<20))
		}
	}
	return nil
}
