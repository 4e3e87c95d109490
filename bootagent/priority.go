package bootagent

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// What a resident agent allows itself.
const (
	memoryLimit = 128 << 20 // of Go's heap and stacks; the image is the kernel's memory
	threadLimit = 4         // goroutines that run at once

	// The image's pages may count as the agent's, so the OOM killer would take it first, and gain nothing: the loop
	// device keeps them.
	oomScore = "-900"

	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13 // IOPRIO_CLASS_IDLE, ioprio_set(2)
)

// stepAside makes this process the last to get the processor and the disk, and bounds its memory. Every thread has a
// priority of its own; those to come inherit it.
func stepAside() error {
	debug.SetMemoryLimit(memoryLimit)
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), threadLimit))
	err := os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
	done := map[int]bool{}
	for {
		fresh, lowered := lowerThreads(done)
		err = errors.Join(err, lowered)
		if fresh == 0 || lowered != nil {
			break
		}
	}
	debug.FreeOSMemory()
	if err != nil {
		return fmt.Errorf("step aside: %w", err)
	}
	return nil
}

// lowerThreads lowers the threads that are not in done, and returns how many those were.
func lowerThreads(done map[int]bool) (fresh int, err error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		tid, convErr := strconv.Atoi(t.Name())
		if convErr != nil || done[tid] {
			continue
		}
		done[tid] = true
		fresh++
		if e := lower(tid); e != nil && !errors.Is(e, unix.ESRCH) { // a thread may end
			err = errors.Join(err, e)
		}
	}
	return fresh, err
}

func lower(tid int) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, tid, 19); err != nil {
		return fmt.Errorf("nice 19: %w", err)
	}
	if err := unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE, Nice: 19}, 0); err != nil {
		return fmt.Errorf("idle scheduling: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), ioprioIdle); errno != 0 {
		return fmt.Errorf("idle I/O: %w", errno)
	}
	return nil
}
