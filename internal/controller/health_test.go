package controller

import (
	"testing"

	"github.com/samara-hpc/samara/internal/api"
)

func TestADiskIsLowWhenTheNextImagesDoNotFit(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name    string
		disk    api.DiskUsage
		largest int64
		low     bool
	}{
		{"room for many on a full disk that others use", api.DiskUsage{Free: 20 * gib, Size: 2000 * gib}, 2 * gib, false},
		{"room for one more", api.DiskUsage{Free: 15 * gib, Size: 40 * gib}, 8 * gib, true},
		{"room for exactly two more", api.DiskUsage{Free: 16 * gib, Size: 40 * gib}, 8 * gib, false},
		{"no image yet, and room for a small one", api.DiskUsage{Free: 2 * gib, Size: 4 * gib}, 0, false},
		{"no image yet, and hardly room for the log", api.DiskUsage{Free: gib, Size: 4 * gib}, 0, true},
		{"small images, and hardly room for the log", api.DiskUsage{Free: gib, Size: 4 * gib}, gib / 10, true},
		{"full", api.DiskUsage{Size: 4 * gib}, gib, true},
		{"could not be asked", api.DiskUsage{}, gib, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := lowDisk(c.disk, c.largest); got != c.low {
				t.Errorf("lowDisk(%+v, %d) = %t, want %t", c.disk, c.largest, got, c.low)
			}
		})
	}
}
