package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A meter watches one agent from outside, through /proc: it does nothing in the agent's process.
type meter struct {
	node string
	dir  string // the agent's
	pid  int

	began   time.Time
	cpu     time.Duration    // at the beginning
	threads map[int]switches // as they were looked at last
	sum     switches         // since the beginning
	memory  memory           // the most of each
}

// switches are how often a thread let go of the processor: to wait, or because another was to have it.
type switches struct{ waited, preempted int64 }

// memory is what a process has resident, in bytes.
type memory struct {
	anon  int64 // its own: heap, stacks, what the program writes
	file  int64 // of its program, as far as it was needed
	shmem int64 // of files in RAM that it maps, which would be the image
	pss   int64 // all three, each page divided by the number of its users
}

// begin begins the measurement.
func (m *meter) begin() error {
	text, err := os.ReadFile(filepath.Join(m.dir, pidFile))
	if err != nil {
		return fmt.Errorf("agent on %s: %w", m.node, err)
	}
	if m.pid, err = strconv.Atoi(string(text)); err != nil {
		return fmt.Errorf("agent on %s: its number: %w", m.node, err)
	}
	if m.threads, err = threadsOf(m.pid); err != nil {
		return fmt.Errorf("agent on %s: %w", m.node, err)
	}
	m.began = time.Now()
	if m.cpu, err = processorTime(m.pid); err != nil {
		return fmt.Errorf("agent on %s: %w", m.node, err)
	}
	return nil
}

// look counts what has happened since it was called last.
func (m *meter) look() error {
	now, err := threadsOf(m.pid)
	if err != nil {
		return fmt.Errorf("agent on %s: %w", m.node, err)
	}
	for tid, n := range now {
		before := m.threads[tid] // a new thread begins with nothing
		m.sum.waited += n.waited - before.waited
		m.sum.preempted += n.preempted - before.preempted
	}
	m.threads = now
	used, err := memoryOf(m.pid)
	if err != nil {
		return fmt.Errorf("agent on %s: %w", m.node, err)
	}
	m.memory = memory{max(m.memory.anon, used.anon), max(m.memory.file, used.file), max(m.memory.shmem, used.shmem), max(m.memory.pss, used.pss)}
	return nil
}

// end returns what there was since begin.
func (m *meter) end() (agent, error) {
	fail := func(err error) (agent, error) { return agent{}, fmt.Errorf("agent on %s: %w", m.node, err) }
	cpu, err := processorTime(m.pid)
	if err != nil {
		return fail(err)
	}
	seconds := time.Since(m.began).Seconds()
	a := agent{Node: m.node, Threads: len(m.threads),
		CPU:       100 * (cpu - m.cpu).Seconds() / seconds,
		Wakes:     float64(m.sum.waited) / seconds,
		Preempted: float64(m.sum.preempted) / seconds,
		Own:       mib(m.memory.anon), Code: mib(m.memory.file), Mapped: mib(m.memory.shmem), PSS: mib(m.memory.pss),
	}
	open, err := socketsOf(m.pid)
	if err != nil {
		return fail(err)
	}
	a.Gossips, a.Links = open.gossips, open.links
	a.Aside, err = stoodAside(m.pid, m.threads)
	if err != nil {
		return fail(err)
	}
	return a, nil
}

// processorTime returns what a process has used, in user and kernel mode, with threads that have ended. It is exact to the
// nanosecond, where the times in proc_pid_stat(5) are counted in hundredths of a second.
func processorTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED; clock_getcpuclockid(3) makes the same number
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedClock, &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// threadsOf returns the threads of a process and what they have done.
func threadsOf(pid int) (map[int]switches, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	threads := make(map[int]switches, len(tasks))
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		text, err := os.ReadFile(filepath.Join(dir, t.Name(), "status"))
		if err != nil {
			continue // it has ended meanwhile
		}
		n, err := numbers(string(text), "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
		if err != nil {
			return nil, fmt.Errorf("%s/%d/status: %w", dir, tid, err)
		}
		threads[tid] = switches{n[0], n[1]}
	}
	return threads, nil
}

func memoryOf(pid int) (memory, error) {
	var list []int64
	for _, f := range []struct {
		name string
		keys []string
	}{
		{"status", []string{"RssAnon", "RssFile", "RssShmem"}},
		{"smaps_rollup", []string{"Pss"}},
	} {
		name := fmt.Sprintf("/proc/%d/%s", pid, f.name)
		text, err := os.ReadFile(name)
		if err != nil {
			return memory{}, err
		}
		n, err := numbers(string(text), f.keys...)
		if err != nil {
			return memory{}, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, n...)
	}
	return memory{list[0] << 10, list[1] << 10, list[2] << 10, list[3] << 10}, nil // they are in KiB
}

// numbers returns the numbers that stand after keys, in lines such as "key: 12 kB".
func numbers(text string, keys ...string) ([]int64, error) {
	found := map[string]int64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if fields := strings.Fields(value); len(fields) > 0 {
			if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				found[key] = n
			}
		}
	}
	list := make([]int64, len(keys))
	for i, key := range keys {
		n, ok := found[key]
		if !ok {
			return nil, fmt.Errorf("no number after %q", key)
		}
		list[i] = n
	}
	return list, nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
