package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config"
	"github.com/samara-hpc/samara/test/lab"
)

// limit bounds all of it.
const limit = 15 * time.Minute

// measure takes all figures.
func measure(ctx context.Context, o options, r *result) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, n := range []int{few, many} {
		if err := r.inMemory(o, n); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("the controller serves in a network namespace: run it as root, such as with sudo")
	}
	dir, err := os.MkdirTemp(o.out, "bench-config-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	network, err := lab.NewNetwork(lab.TestNetworkName("cfg"), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	cluster, err := network.AddCluster(1, o.samara, dir)
	if err != nil {
		return err
	}
	b := bench{options: o, dir: dir, controller: cluster.Controllers[0]}
	defer b.controller.Kill()
	if err := cluster.Form(ctx, "bench", ""); err != nil {
		return err
	}
	return b.measure(ctx, r)
}

// inMemory measures what a program does with the configuration of so many nodes by itself.
func (r *result) inMemory(o options, nodes int) error {
	d := site(nodes, "first")
	document, err := text(d)
	if err != nil {
		return err
	}
	key := strconv.Itoa(nodes)
	if r.decode[key], err = median(o.rounds, func(int) error {
		var v map[string]any
		return yaml.Unmarshal(document, &v)
	}); err != nil {
		return err
	}
	state, err := stateOf(d)
	if err != nil {
		return err
	}
	r.Resolve[key], err = median(o.rounds, func(int) error {
		seen := 0
		for n := range state.ResolveAll() {
			if len(n.KernelArgs) == 3 {
				seen++
			}
		}
		if seen != nodes {
			return fmt.Errorf("%d of %d nodes have what their profiles say", seen, nodes)
		}
		return nil
	})
	return err
}

// A bench is a controller that is measured.
type bench struct {
	options
	dir        string
	controller *lab.Controller
}

func (b bench) measure(ctx context.Context, r *result) error {
	for _, n := range []int{few, many} {
		if err := b.write("site.yaml", site(n, "first")); err != nil {
			return err
		}
		if _, err := b.samara(ctx, "apply", "-f", b.path("site.yaml")); err != nil {
			return err
		}
		var err error
		if r.NodeList[strconv.Itoa(n)], err = median(b.rounds, func(int) error {
			return b.says(ctx, fmt.Sprintf("n%05d", n-1), "node", "list")
		}); err != nil {
			return err
		}
	}
	if err := b.changes(ctx, r); err != nil {
		return err
	}
	var err error
	r.Memory, err = b.memory()
	return err
}

// changes measures what becomes of all nodes at once.
func (b bench) changes(ctx context.Context, r *result) error {
	files := []string{"second.yaml", "site.yaml"} // either changes every node that the other has written
	if err := b.write(files[0], site(many, "second")); err != nil {
		return err
	}
	if err := b.write("profile.yaml", config.Documents{Profiles: []fleet.Profile{profile(everyone, "other")}}); err != nil {
		return err
	}
	var err error
	if r.Apply, err = median(b.rounds, func(round int) error {
		return b.says(ctx, "set node n", "apply", "-f", b.path(files[round%len(files)]))
	}); err != nil {
		return err
	}
	r.Plan, err = median(b.rounds, func(int) error {
		return b.says(ctx, "a reboot of n[00000-09999]", "plan", "-f", b.path("profile.yaml"))
	})
	return err
}

// says runs samara, which must say a phrase.
func (b bench) says(ctx context.Context, phrase string, args ...string) error {
	out, err := b.samara(ctx, args...)
	if err == nil && !strings.Contains(out, phrase) {
		err = fmt.Errorf("samara %s: %.200q, want %q", strings.Join(args, " "), out, phrase)
	}
	return err
}

// samara runs a command against the controller, over its socket, and returns what it prints.
func (b bench) samara(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, b.options.samara, append(args, "--socket", b.controller.Socket, "--timeout", "5m")...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("samara %s: %w: %.500s", strings.Join(args, " "), err, stderr.String())
	}
	return out.String(), nil
}

func (b bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b bench) write(name string, d config.Documents) error {
	document, err := text(d)
	if err != nil {
		return err
	}
	return os.WriteFile(b.path(name), document, 0o644)
}

// memory returns the most that the controller had of it, in MiB.
func (b bench) memory() (float64, error) {
	pid, err := b.controller.Process().PID()
	if err != nil {
		return 0, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid.Number))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 64)
			return n / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid.Number)
}
