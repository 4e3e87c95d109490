package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stoodAside reports whether all of these threads of a process are the last to get the processor and the disk.
func stoodAside(pid int, threads map[int]switches) (bool, error) {
	for tid := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
		if err != nil {
			continue // it has ended meanwhile
		}
		policy, err := policyIn(string(text))
		if err != nil {
			return false, fmt.Errorf("/proc/%d/task/%d/stat: %w", pid, tid, err)
		}
		const whoProcess, classShift, classIdle = 1, 13, 3 // ioprio_set(2)
		priority, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, whoProcess, uintptr(tid), 0)
		if errno != 0 {
			return false, fmt.Errorf("I/O priority of thread %d: %w", tid, errno)
		}
		if policy != unix.SCHED_IDLE || priority>>classShift != classIdle {
			return false, nil
		}
	}
	return true, nil
}

// policyIn returns the scheduling policy in a line of proc_pid_stat(5): its 41st field. The second is a name in
// parentheses that may hold anything.
func policyIn(stat string) (int, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 39 {
		return 0, fmt.Errorf("no 41st field in %q", stat)
	}
	return strconv.Atoi(fields[38])
}
