package lab

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDiskIsFullToTheLastByte(t *testing.T) {
	dir := t.TempDir() // goes after the network, which unmounts the disk
	disk, err := newTestNetwork(t).AddDisk(filepath.Join(dir, "disk"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(disk.Dir, "file")
	for range 2 {
		if err := disk.Fill(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("x"), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("one byte on a full disk: got %v, want %v", err, unix.ENOSPC)
		}
		if err := disk.Free(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Errorf("freed: %v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
