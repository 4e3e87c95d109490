package swarmlab

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// userHz is the unit of the times in /proc/stat, in every Linux that Go runs on.
const userHz = 100

// busyShare of the processors, from which on a run is said to be bound by them.
const busyShare = 0.85

// Processors is what this machine's processors did in some time: all processes and the kernel's own work on packets.
type Processors struct {
	Busy    time.Duration // of all processors together
	Elapsed time.Duration
	Count   int
}

// Share returns which part of the time that there was they were busy, from 0 to 1.
func (p Processors) Share() float64 {
	return p.Busy.Seconds() / max(p.Elapsed.Seconds()*float64(p.Count), 1e-9)
}

// A processorsMark is the beginning of a measurement.
type processorsMark struct {
	at   time.Time
	busy time.Duration
}

func markProcessors() (processorsMark, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processorsMark{}, err
	}
	busy, err := parseBusy(string(text))
	return processorsMark{time.Now(), busy}, err
}

// since returns what the processors did since the mark.
func (m processorsMark) since() (Processors, error) {
	now, err := markProcessors()
	return Processors{Busy: now.busy - m.busy, Elapsed: now.at.Sub(m.at), Count: runtime.NumCPU()}, err
}

// parseBusy reads the first line of proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal.
func parseBusy(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var ticks int64
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat begins with %q: %w", line, err)
		}
		if i != 3 && i != 4 { // idle, iowait
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// peakMemory returns the most RAM that a process has had so far, in bytes. Files in RAM that it does not map are not in it.
func peakMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[1] != "kB" {
		return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	return n << 10, err
}
