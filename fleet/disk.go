package fleet

import (
	"fmt"
	"slices"
)

// A Disk is a drive of a node and how it is to be partitioned.
type Disk struct {
	Device     string      `json:"device"` // its path, such as /dev/sda
	WipeTable  *bool       `json:"wipe_table,omitempty"`
	Partitions []Partition `json:"partitions,omitempty"` // each label once
}

// A Partition is one part of a Disk. Its fields mean what they mean to Ignition.
type Partition struct {
	Label              string `json:"label"`
	Number             int    `json:"number,omitempty"`    // 0: the next free one
	SizeMiB            int64  `json:"size_mib,omitempty"`  // 0: all that is left
	StartMiB           int64  `json:"start_mib,omitempty"` // 0: the next free one
	TypeGUID           string `json:"type_guid,omitempty"` // "": Linux filesystem data
	GUID               string `json:"guid,omitempty"`
	WipePartitionEntry *bool  `json:"wipe_partition_entry,omitempty"` // replace what is there if it differs
	ShouldExist        *bool  `json:"should_exist,omitempty"`
	Resize             *bool  `json:"resize,omitempty"`
}

// A Filesystem is what a partition is formatted with and where it is mounted.
type Filesystem struct {
	Device       string   `json:"device"`           // the path of a block device
	Format       string   `json:"format,omitempty"` // such as ext4, xfs, swap
	Path         string   `json:"path,omitempty"`   // where it is mounted
	Wipe         *bool    `json:"wipe,omitempty"`   // whether it is made anew at each boot
	Label        string   `json:"label,omitempty"`
	UUID         string   `json:"uuid,omitempty"`
	Options      []string `json:"options,omitempty"`       // for mkfs, one word each
	MountOptions string   `json:"mount_options,omitempty"` // for mount, with commas between
}

func (d Disk) clone() Disk {
	d.WipeTable = clonePointer(d.WipeTable)
	d.Partitions = slices.Clone(d.Partitions)
	for at := range d.Partitions {
		p := &d.Partitions[at]
		p.WipePartitionEntry, p.ShouldExist, p.Resize = clonePointer(p.WipePartitionEntry), clonePointer(p.ShouldExist), clonePointer(p.Resize)
	}
	return d
}

func (f Filesystem) clone() Filesystem {
	f.Wipe = clonePointer(f.Wipe)
	f.Options = slices.Clone(f.Options)
	return f
}

// checkStorage validates disks and filesystems, each alone and beside the others.
func checkStorage(disks []Disk, filesystems []Filesystem) error {
	switch {
	case len(disks) > MaxDisks:
		return fmt.Errorf("%w disks: %d, at most %d", ErrInvalid, len(disks), MaxDisks)
	case len(filesystems) > MaxFilesystems:
		return fmt.Errorf("%w filesystems: %d, at most %d", ErrInvalid, len(filesystems), MaxFilesystems)
	}
	for at, d := range disks {
		if err := checkPath("disk", d.Device); err != nil {
			return err
		}
		if slices.ContainsFunc(disks[:at], func(other Disk) bool { return other.Device == d.Device }) {
			return fmt.Errorf("%w disk %s: it is there twice", ErrInvalid, d.Device)
		}
		if err := d.checkPartitions(); err != nil {
			return fmt.Errorf("disk %s: %w", d.Device, err)
		}
	}
	for at, f := range filesystems {
		if err := checkPath("filesystem", f.Device); err != nil {
			return err
		}
		if slices.ContainsFunc(filesystems[:at], func(other Filesystem) bool { return other.Device == f.Device }) {
			return fmt.Errorf("%w filesystem %s: it is there twice", ErrInvalid, f.Device)
		}
		if err := f.check(); err != nil {
			return fmt.Errorf("filesystem %s: %w", f.Device, err)
		}
	}
	return nil
}

func (d Disk) checkPartitions() error {
	if len(d.Partitions) > MaxPartitions {
		return fmt.Errorf("%w partitions: %d, at most %d", ErrInvalid, len(d.Partitions), MaxPartitions)
	}
	for at, p := range d.Partitions {
		if err := p.check(); err != nil {
			return err
		}
		for _, other := range d.Partitions[:at] {
			switch {
			case p.Label == other.Label:
				return fmt.Errorf("%w partition %q: it is there twice", ErrInvalid, p.Label)
			case p.Number != 0 && p.Number == other.Number:
				return fmt.Errorf("%w partitions %q and %q: both have number %d", ErrInvalid, other.Label, p.Label, p.Number)
			}
		}
	}
	return nil
}

// maxMiB bounds sizes: no disk holds more in bytes than an int64.
const maxMiB = 1 << 43

func (p Partition) check() error {
	if p.Label == "" || len(p.Label) > 36 { // UEFI 2.10, 5.3.3: 72 bytes of UTF-16
		return fmt.Errorf("%w partition label %.80q: want 1 to 36 characters", ErrInvalid, p.Label)
	}
	if err := checkWord("partition label", p.Label); err != nil {
		return err
	}
	switch {
	case p.Number < 0 || p.Number > MaxPartitions:
		return fmt.Errorf("%w partition %s: number %d, want 1 to %d", ErrInvalid, p.Label, p.Number, MaxPartitions)
	case p.SizeMiB < 0 || p.SizeMiB >= maxMiB || p.StartMiB < 0 || p.StartMiB >= maxMiB:
		return fmt.Errorf("%w partition %s: %d MiB from %d MiB on: want neither below 0 nor over %d", ErrInvalid, p.Label, p.SizeMiB, p.StartMiB, int64(maxMiB))
	}
	for _, id := range [...]string{p.TypeGUID, p.GUID} {
		if id != "" && !isUUID(id) {
			return fmt.Errorf("%w partition %s: GUID %.80q, want the form 0fc63daf-8483-4772-8e79-3d69d8477de4", ErrInvalid, p.Label, id)
		}
	}
	return nil
}

// isUUID reports whether s has the form of RFC 9562, 4.
func isUUID(s string) bool {
	for i, r := range s {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if r != '-' {
				return false
			}
		case !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F'):
			return false
		}
	}
	return len(s) == 36
}

func (f Filesystem) check() error {
	if f.Format != "" {
		if err := CheckLabel("format", f.Format); err != nil {
			return err
		}
	}
	if f.Path != "" && (f.Format != "swap" || f.Path != "swap" && f.Path != "none") {
		if err := checkPath("path", f.Path); err != nil {
			return err
		}
	}
	for _, one := range [...]struct{ what, value string }{{"label", f.Label}, {"UUID", f.UUID}, {"mount options", f.MountOptions}} {
		if one.value != "" {
			if err := checkWord(one.what, one.value); err != nil {
				return err
			}
		}
	}
	if len(f.Options) > MaxKernelArgs {
		return fmt.Errorf("%w options: %d, at most %d", ErrInvalid, len(f.Options), MaxKernelArgs)
	}
	for _, o := range f.Options {
		if err := checkWord("option", o); err != nil {
			return err
		}
	}
	return nil
}
