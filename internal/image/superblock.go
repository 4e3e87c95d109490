package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// A superblock is the head of a squashfs (struct squashfs_super_block in fs/squashfs/squashfs_fs.h).
type superblock struct {
	Magic, Inodes, Time, BlockSize, Fragments       uint32
	Compression, BlockLog, Flags, IDs, Major, Minor uint16
	Root, BytesUsed                                 uint64
	IDTable, XattrTable, InodeTable                 uint64
}

// seal makes sure that the squashfs in file is whole and holds as many inodes as it should, and sets the time of its root
// directory: mksquashfs before 4.6 takes the present time there for a tar, whatever -root-time says. The inodes must not be
// compressed.
func seal(file string, inodes int, root time.Time) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("mksquashfs left no squashfs: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var super superblock
	if err := binary.Read(f, binary.LittleEndian, &super); err != nil {
		return fmt.Errorf("mksquashfs left no squashfs: %w", err)
	}
	if super.Magic != 0x73717368 || super.Major != 4 || super.BytesUsed > uint64(info.Size()) {
		return errors.New("mksquashfs left no whole squashfs: try again with a newer squashfs-tools")
	}
	if int(super.Inodes) != inodes {
		return fmt.Errorf("mksquashfs packed %d files of %d: try again with a newer squashfs-tools", super.Inodes, inodes)
	}
	if err := setRootTime(f, super, root); err != nil {
		return fmt.Errorf("set the time of the root directory: %w", err)
	}
	return f.Close()
}

// setRootTime writes the time into the root's inode, which can lie across two metadata blocks. A block holds 8 KiB after
// a length of two bytes, whose highest bit says that it is not compressed.
func setRootTime(f *os.File, super superblock, root time.Time) error {
	const (
		metadata     = 8 << 10
		uncompressed = 0x8000
		timeAt       = 8 // in every inode: type, mode, user, group of two bytes each come before
	)
	block := int64(super.InodeTable + super.Root>>16)
	in := int64(super.Root & 0xffff)
	inode := make([]byte, 2)
	at := func(off int64) int64 { // in the file, of an offset from the start of block
		return block + off/metadata*(metadata+2) + 2 + off%metadata
	}
	for off := range int64(len(inode)) {
		if _, err := f.ReadAt(inode[off:off+1], at(in+off)); err != nil {
			return err
		}
	}
	head := make([]byte, 2)
	if _, err := f.ReadAt(head, block); err != nil {
		return err
	}
	if kind := binary.LittleEndian.Uint16(inode); binary.LittleEndian.Uint16(head)&uncompressed == 0 || kind != 1 && kind != 8 {
		return errors.New("there is no plain inode of a directory: try again with another squashfs-tools")
	}
	for i, b := range binary.LittleEndian.AppendUint32(nil, uint32(squashTime(root).Unix())) {
		if _, err := f.WriteAt([]byte{b}, at(in+timeAt+int64(i))); err != nil {
			return err
		}
	}
	return nil
}
