package fleet

import "slices"

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
