package raftstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"

	"github.com/hashicorp/raft"
)

const (
	logCacheSize = 512 // entries kept in memory for followers that are nearly up to date

	// sealSize is what a journal adds to an entry's extensions: the commit index that was known when the entry was
	// written (8 bytes), and the CRC-32C of the whole (4 bytes), both big-endian.
	sealSize = 12
)

var errChecksum = errors.New("its checksum does not match")

// A journal is Raft's log and variables on disk, with a checksum on each: bbolt has none on its data.
//
// Raft panics where it cannot go on without its disk. A journal that fails there ends the calling goroutine instead,
// which is always one of Raft's, and leaves the reason in end: so the process can stop in order, with one line.
type journal struct {
	disk   *timedDisk
	cache  *raft.LogCache // over disk; holds sealed entries
	end    *latch
	commit func() uint64 // an index up to which entries are committed; entries carry it
}

var (
	_ raft.LogStore    = (*journal)(nil)
	_ raft.StableStore = (*journal)(nil)
)

func newJournal(d *timedDisk, commit func() uint64, end *latch) (*journal, error) {
	cache, err := raft.NewLogCache(logCacheSize, d)
	if err != nil {
		return nil, err
	}
	return &journal{disk: d, cache: cache, end: end, commit: commit}, nil
}

// FirstIndex implements raft.LogStore.
func (j *journal) FirstIndex() (uint64, error) { return j.disk.FirstIndex() }

// LastIndex implements raft.LogStore.
func (j *journal) LastIndex() (uint64, error) { return j.disk.LastIndex() }

// GetLog implements raft.LogStore.
func (j *journal) GetLog(index uint64, l *raft.Log) error {
	_, err := j.read(index, l)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		j.end.set(err)
		runtime.Goexit()
	}
	return err
}

// read reads and checks one entry, takes its seal off, and returns up to which index entries were known to be
// committed when it was written.
func (j *journal) read(index uint64, l *raft.Log) (commit uint64, err error) {
	err = guard(func() error { return j.cache.GetLog(index, l) })
	if errors.Is(err, raft.ErrLogNotFound) {
		return 0, err
	}
	if err == nil && l.Index != index {
		err = fmt.Errorf("it holds entry %d", l.Index)
	}
	if err == nil {
		commit, err = unseal(l)
	}
	if err != nil {
		return 0, corrupt(j.disk.path, fmt.Errorf("log entry %d: %w", index, err))
	}
	return commit, nil
}

// StoreLog implements raft.LogStore.
func (j *journal) StoreLog(l *raft.Log) error { return j.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (j *journal) StoreLogs(logs []*raft.Log) error {
	commit := j.commit()
	sealed := make([]*raft.Log, len(logs))
	for i, l := range logs {
		sealed[i] = seal(l, commit)
	}
	return j.cache.StoreLogs(sealed)
}

// DeleteRange implements raft.LogStore.
func (j *journal) DeleteRange(first, last uint64) error { return j.cache.DeleteRange(first, last) }

// Set implements raft.StableStore.
func (j *journal) Set(key, value []byte) error {
	if err := j.disk.Set(key, sealValue(key, value)); err != nil {
		runtime.Goexit() // disk has left the reason in end
	}
	return nil
}

// Get implements raft.StableStore.
func (j *journal) Get(key []byte) ([]byte, error) {
	sealed, err := j.disk.Get(key)
	if err != nil {
		return nil, err // with the text that Raft compares: "not found"
	}
	value, err := unsealValue(key, sealed)
	if err != nil {
		return nil, corrupt(j.disk.path, fmt.Errorf("value of %q: %w", key, err))
	}
	return value, nil
}

// SetUint64 implements raft.StableStore.
func (j *journal) SetUint64(key []byte, n uint64) error {
	return j.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 implements raft.StableStore.
func (j *journal) GetUint64(key []byte) (uint64, error) {
	value, err := j.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, corrupt(j.disk.path, fmt.Errorf("value of %q: %d bytes, want 8", key, len(value)))
	}
	return binary.BigEndian.Uint64(value), nil
}

// seal returns a copy of l whose extensions end with commit and a checksum.
func seal(l *raft.Log, commit uint64) *raft.Log {
	sealed := *l
	sealed.Extensions = binary.BigEndian.AppendUint64(bytes.Clone(l.Extensions), commit)
	sealed.Extensions = binary.BigEndian.AppendUint32(sealed.Extensions, checksumLog(&sealed, sealed.Extensions))
	return &sealed
}

// unseal checks l, takes off what seal added, and returns the commit index.
func unseal(l *raft.Log) (commit uint64, err error) {
	n := len(l.Extensions) - sealSize
	if n < 0 {
		return 0, errChecksum
	}
	tail := l.Extensions[n:]
	if binary.BigEndian.Uint32(tail[8:]) != checksumLog(l, l.Extensions[:n+8]) {
		return 0, errChecksum
	}
	commit = binary.BigEndian.Uint64(tail)
	if l.Extensions = l.Extensions[:n]; n == 0 {
		l.Extensions = nil
	}
	return commit, nil
}

// checksumLog covers all of l that Raft acts on, with extensions in the place of l's own.
func checksumLog(l *raft.Log, extensions []byte) uint32 {
	head := binary.BigEndian.AppendUint64(nil, l.Index)
	head = binary.BigEndian.AppendUint64(head, l.Term)
	head = append(head, byte(l.Type))
	head = binary.BigEndian.AppendUint64(head, uint64(len(l.Data)))
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, head)
	sum = crc32.Update(sum, table, l.Data)
	return crc32.Update(sum, table, extensions)
}

// sealValue returns value and its checksum, which covers key too.
func sealValue(key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(value), checksumValue(key, value))
}

func unsealValue(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - 4
	if n < 0 || binary.BigEndian.Uint32(sealed[n:]) != checksumValue(key, sealed[:n]) {
		return nil, errChecksum
	}
	return sealed[:n], nil
}

func checksumValue(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, key), table, value)
}
