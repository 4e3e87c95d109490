package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCloseLeavesNothing(t *testing.T) {
	n, err := NewNetwork(TestNetworkName("samara-close"), false)
	if err != nil {
		t.Fatal(err)
	}
	h, err := n.AddHost(1)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := n.AddDisk(filepath.Join(t.TempDir(), "disk"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var ran []*Process
	var pids []PID
	for _, space := range []Namespace{n.Namespace, h.Namespace} {
		p, err := StartProcess("sleeper", filepath.Join(t.TempDir(), "log"), space.Command("sleep", "600"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		inside := func() (bool, error) { // ip(8) enters the network some time after its start
			running, err := space.pids()
			return len(running) > 0, err
		}
		if err := poll(ctx, 10*time.Millisecond, inside); err != nil {
			t.Fatal(err)
		}
		pid, err := p.PID()
		if err != nil {
			t.Fatal(err)
		}
		ran, pids = append(ran, p), append(pids, pid)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for i, p := range ran {
		<-p.Done()
		if pids[i].Alive() {
			t.Errorf("process %d outlives its network", pids[i].Number)
		}
	}
	for _, name := range []string{n.Name, h.Name} {
		if exists(filepath.Join(netnsDir, name)) {
			t.Errorf("network %s is still there", name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), disk.Dir) {
		t.Errorf("disk %s is still there (%v)", disk.Dir, err)
	}
}

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	const prefix = "samara-sweep"
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	dead, err := NewNetwork(fmt.Sprintf("%s-%d", prefix, ended.Process.Pid), false)
	if err != nil {
		t.Fatal(err)
	}
	h, err := dead.AddHost(3)
	if err != nil {
		t.Fatal(err)
	}
	alive, err := NewNetwork(TestNetworkName(prefix), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := alive.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := Sweep(prefix); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{dead.Name: false, h.Name: false, alive.Name: true} {
		if got := exists(filepath.Join(netnsDir, name)); got != want {
			t.Errorf("network %s is there: %v, want %v", name, got, want)
		}
	}
}
