package raftstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// testJournal returns a journal that holds the entries from first to last, all of term 1.
func testJournal(t *testing.T, first, last uint64) *journal {
	t.Helper()
	path := filepath.Join(t.TempDir(), logFile)
	bolt, err := openBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	end := newLatch()
	j, err := newJournal(newTimedDisk(bolt, path, 10*time.Second, end), func() uint64 { return 0 }, end)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.disk.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := first; i <= last; i++ {
		if err := j.StoreLog(&raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// describe lists the entries of j up to 20 as index@term, anchors with an A.
func describe(t *testing.T, j *journal) string {
	t.Helper()
	var all []string
	for i := range uint64(20) {
		var l raft.Log
		if _, err := j.read(i, &l); errors.Is(err, raft.ErrLogNotFound) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		anchor := ""
		if isAnchor(&l) {
			anchor = "A"
		}
		all = append(all, fmt.Sprintf("%d@%d%s", l.Index, l.Term, anchor))
	}
	return strings.Join(all, " ")
}

func TestLogFitsASnapshotFromTheLeader(t *testing.T) {
	for phrase, c := range map[string]struct {
		first, last uint64 // of the log, term 1
		index, term uint64 // of the snapshot
		fails       bool
		want        string
		tail        uint64
	}{
		"an empty log":                       {1, 0, 8, 2, false, "8@2A", 0},
		"a log that ends before":             {1, 3, 8, 2, false, "8@2A", 0},
		"a log that goes on after":           {6, 10, 8, 1, false, "6@1 7@1 8@1 9@1 10@1", 6},
		"a log that begins right after":      {9, 11, 8, 1, false, "8@1A 9@1 10@1 11@1", 9},
		"a log that begins much later":       {12, 13, 8, 1, true, "12@1 13@1", 12},
		"a log of another history":           {6, 10, 8, 2, true, "6@1 7@1 8@1 9@1 10@1", 6},
		"a log of another that ends with it": {6, 8, 8, 2, true, "6@1 7@1 8@1", 6},
	} {
		t.Run(phrase, func(t *testing.T) {
			j := testJournal(t, c.first, c.last)
			err := j.install(c.index, c.term)
			if got := describe(t, j); (err != nil) != c.fails || got != c.want {
				t.Errorf("install(%d@%d) into %d to %d: %v, leaves %s; want an error: %t, and %s", c.index, c.term, c.first, c.last, err, got, c.fails, c.want)
			}
			if tail, err := j.tail(); err != nil || tail != c.tail {
				t.Errorf("tail of %s = %d, %v; want %d", c.want, tail, err, c.tail)
			}
		})
	}
}

func TestLogOfAnotherHistoryIsDroppedAtTheNextStart(t *testing.T) {
	j := testJournal(t, 6, 10)
	if err := j.install(8, 2); !errors.Is(err, errForeignLog) || !errors.Is(j.end.get(), errForeignLog) {
		t.Errorf("install of a snapshot of another history: %v, store: %v; want %v", err, j.end.get(), errForeignLog)
	}
	j = testJournal(t, 6, 10)
	if err := j.dropForeign(8, 1); err != nil || describe(t, j) != "6@1 7@1 8@1 9@1 10@1" {
		t.Errorf("dropForeign with a snapshot of the same history: %v, leaves %s", err, describe(t, j))
	}
	if err := j.dropForeign(8, 2); err != nil || describe(t, j) != "" {
		t.Errorf("dropForeign: %v, leaves %s", err, describe(t, j))
	}
}

func TestAnAnchorIsNoEntry(t *testing.T) {
	j := testJournal(t, 1, 3)
	if err := j.SetUint64([]byte(raftKeys[0]), 1); err != nil {
		t.Fatal(err)
	}
	if err := j.install(8, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := checkJournal(j, 8); err != nil {
		t.Errorf("a log with an anchor, and its snapshot: %v", err)
	}
	// Without its snapshot, what an older one has is not followed by anything.
	if _, err := checkJournal(j, 7); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a log with an anchor, without its snapshot: %v, want %v", err, ErrCorrupt)
	}
}
