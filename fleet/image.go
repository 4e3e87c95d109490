package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Image is a named root filesystem with numbered immutable versions.
type Image struct {
	Name     string         `json:"name"`
	Versions []ImageVersion `json:"versions"` // ascending by number; never empty
	Next     int            `json:"next"`     // the number of the next version; numbers are never used twice
	Revision Revision       `json:"revision,omitempty"`
}

// An ImageVersion is one immutable build of an image and what is needed to boot it.
type ImageVersion struct {
	Number        int       `json:"number"`
	Root          Blob      `json:"root"`               // the squashfs that nodes run
	Torrent       Blob      `json:"torrent"`            // the bencoded info dictionary of Root's torrent
	Kernel        Blob      `json:"kernel"`             // the kernel found inside
	Initramfs     Blob      `json:"initramfs"`          // agent and modules, built for Kernel
	Agent         Digest    `json:"agent"`              // the agent inside Initramfs
	KernelRelease string    `json:"kernel_release"`     // as uname -r prints it
	Arch          string    `json:"arch"`               // Go's name: amd64 or arm64
	Firmware      bool      `json:"firmware,omitempty"` // whether Initramfs holds the firmware of its modules
	Source        string    `json:"source"`             // what it was imported from
	Imported      time.Time `json:"imported"`
}

// Latest returns the newest version.
func (i Image) Latest() ImageVersion { return i.Versions[len(i.Versions)-1] }

// Version returns the version with that number.
func (i Image) Version(number int) (ImageVersion, bool) {
	at := slices.IndexFunc(i.Versions, func(v ImageVersion) bool { return v.Number == number })
	if at < 0 {
		return ImageVersion{}, false
	}
	return i.Versions[at], true
}

func (v ImageVersion) check() error {
	for _, part := range [...]struct {
		what string
		blob Blob
	}{{"root", v.Root}, {"torrent", v.Torrent}, {"kernel", v.Kernel}, {"initramfs", v.Initramfs}} { // in one order: every replica gives the same reason
		if err := part.blob.check(part.what); err != nil {
			return err
		}
	}
	if v.Arch != "amd64" && v.Arch != "arm64" {
		return fmt.Errorf("%w architecture %q: want amd64 or arm64", ErrInvalid, v.Arch)
	}
	if err := checkText("source", v.Source, 1024); err != nil {
		return err
	}
	return checkText("kernel release", v.KernelRelease, 128)
}

// Blobs returns every blob that this version needs to boot.
func (v ImageVersion) Blobs() []Blob { return []Blob{v.Root, v.Torrent, v.Kernel, v.Initramfs} }

// An ImageRef names an image, and a version of it if Version is not 0; otherwise it means the newest. The zero value
// means "no image".
type ImageRef struct {
	Name    string
	Version int
}

// ParseImageRef reads "NAME" or "NAME:VERSION". The empty string is the zero ImageRef.
func ParseImageRef(s string) (ImageRef, error) {
	if s == "" {
		return ImageRef{}, nil
	}
	name, number, pinned := strings.Cut(s, ":")
	ref := ImageRef{Name: name}
	if pinned {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || strconv.Itoa(n) != number {
			return ImageRef{}, fmt.Errorf("%w image %q: want NAME or NAME:VERSION, a version being a number from 1", ErrInvalid, s)
		}
		ref.Version = n
	}
	return ref, CheckName("image", name)
}

func (r ImageRef) check() error {
	if r == (ImageRef{}) {
		return nil
	}
	if r.Version < 0 {
		return fmt.Errorf("%w image version %d", ErrInvalid, r.Version)
	}
	return CheckName("image", r.Name)
}

// IsZero reports whether r names no image.
func (r ImageRef) IsZero() bool { return r == ImageRef{} }

// String returns the form that ParseImageRef reads.
func (r ImageRef) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + ":" + strconv.Itoa(r.Version)
}

// MarshalText writes the form of String.
func (r ImageRef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what ParseImageRef reads.
func (r *ImageRef) UnmarshalText(b []byte) error {
	got, err := ParseImageRef(string(b))
	*r = got
	return err
}
