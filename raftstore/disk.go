package raftstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// A disk is where the log and Raft's few variables are kept: a raftboltdb.BoltStore.
type disk interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// errStalled means that a write to the disk took too long.
var errStalled = errors.New("stalled")

// A timedDisk gives each write to a disk a deadline. Raft has none: a leader whose disk hangs goes on sending
// heartbeats, so that nobody else is elected and the cluster hangs with it (hashicorp/raft issues 503, 612 and 666).
//
// The first write that fails or is late is the last one. What reached the disk of it is then unknown, and it may still
// reach it; only a restart, which reads the disk afresh, can tell. Reads go on.
type timedDisk struct {
	disk   // reads go straight to it
	path   string
	limit  time.Duration
	writes chan diskWrite
	quit   chan struct{}
	end    *latch // takes the first failure
}

type diskWrite struct {
	run  func() error
	done chan error // holds one
}

func newTimedDisk(d disk, path string, limit time.Duration, end *latch) *timedDisk {
	t := &timedDisk{disk: d, path: path, limit: limit, writes: make(chan diskWrite), quit: make(chan struct{}), end: end}
	go t.work()
	return t
}

// work runs one write after another until Close. A write that hangs keeps it, and nothing else.
func (t *timedDisk) work() {
	for {
		select {
		case w := <-t.writes:
			w.done <- guard(w.run)
		case <-t.quit:
			return
		}
	}
}

// guard turns a panic of bbolt, which is how it reports a damaged page, into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return f()
}

// write runs f in turn. If f fails or is late, this and all later writes fail, and the store ends.
func (t *timedDisk) write(f func() error) error {
	if err := t.end.get(); err != nil {
		return err
	}
	timer := time.NewTimer(t.limit)
	defer timer.Stop()
	w := diskWrite{run: f, done: make(chan error, 1)}
	err := errStalled
	select {
	case t.writes <- w:
		select {
		case err = <-w.done:
		case <-timer.C:
		}
	case <-timer.C:
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStalled):
		err = fmt.Errorf("%s: a write has %w for %s; check the disk, then start this controller again: what was acknowledged is safe", t.path, err, t.limit)
	case errors.Is(err, ErrCorrupt):
		err = corrupt(t.path, err)
	default:
		err = fmt.Errorf("%s: %w; free space or replace the disk, then start this controller again: what was acknowledged is safe", t.path, err)
	}
	t.end.set(err)
	return err
}

// StoreLog implements raft.LogStore.
func (t *timedDisk) StoreLog(l *raft.Log) error { return t.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (t *timedDisk) StoreLogs(logs []*raft.Log) error {
	return t.write(func() error { return t.disk.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (t *timedDisk) DeleteRange(first, last uint64) error {
	return t.write(func() error { return t.disk.DeleteRange(first, last) })
}

// Set implements raft.StableStore.
func (t *timedDisk) Set(key, value []byte) error {
	return t.write(func() error { return t.disk.Set(key, value) })
}

// Close closes the disk. It waits for a write that hangs.
func (t *timedDisk) Close() error {
	close(t.quit)
	return t.disk.Close()
}
