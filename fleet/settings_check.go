package fleet

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Limits on settings.
const (
	MaxOverlays     = 64
	MaxTags         = 128       // in one place
	MaxTag          = 4096      // bytes of one
	MaxResources    = 256       // in number
	maxResourceSize = 256 << 10 // bytes of all of an object's
	MaxDisks        = 64
	MaxPartitions   = 128 // of one disk: as many as a GPT has places for
	MaxFilesystems  = 64
)

// checkFormer validates the settings that format 1 has. Refusals are remembered, so that replicas of all releases must
// give the same: the order of these checks and their words stay.
func (s Settings) checkFormer(kind, name string) error {
	if len(s.Interfaces) > MaxInterfaces {
		return fmt.Errorf("%w %s %s: %d interfaces, at most %d", ErrInvalid, kind, name, len(s.Interfaces), MaxInterfaces)
	}
	seen := map[string]bool{}
	for _, i := range s.Interfaces {
		if err := CheckName("interface", i.Name); err != nil {
			return fmt.Errorf("%s %s: %w", kind, name, err)
		}
		if seen[i.Name] {
			return fmt.Errorf("%w %s %s: two interfaces named %s", ErrInvalid, kind, name, i.Name)
		}
		seen[i.Name] = true
		if i.MAC != (MAC{}) && i.MAC[0]&1 != 0 {
			return fmt.Errorf("%w %s %s: interface %s: group MAC address %s", ErrInvalid, kind, name, i.Name, i.MAC)
		}
	}
	if s.Rack != "" {
		if err := CheckName("rack", s.Rack); err != nil {
			return fmt.Errorf("%s %s: %w", kind, name, err)
		}
	}
	if err := checkKernelArgs(s.KernelArgs); err != nil {
		return fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return s.Image.check()
}

// check validates the settings that came later.
func (s Settings) check() error {
	for _, one := range [...]struct {
		what, value string
		check       func(what, value string) error
	}{
		{"cluster", s.Cluster, CheckLabel},
		{"primary network", s.PrimaryNetwork, CheckName},
		{"kernel version", s.KernelVersion, checkWord},
		{"init", s.Init, checkPath},
		{"switch port", s.SwitchPort, checkPhrase},
		{"group", s.Group, CheckName},
	} {
		if one.value == "" {
			continue
		}
		if err := one.check(one.what, one.value); err != nil {
			return err
		}
	}
	switch {
	case s.Root != "" && s.Root != RootOverlay && s.Root != RootTmpfs:
		return fmt.Errorf("%w root %.40q: want overlay or tmpfs", ErrInvalid, string(s.Root))
	case s.UploadLimit != 0 && s.UploadLimit < MinUpload:
		return fmt.Errorf("%w upload limit of %d bytes per second: want 0 to say nothing, or at least %d", ErrInvalid, s.UploadLimit, MinUpload)
	}
	if err := s.Reseed.check(); err != nil {
		return err
	}
	if err := checkOverlays("system overlay", s.SystemOverlays); err != nil {
		return err
	}
	if err := checkOverlays("runtime overlay", s.RuntimeOverlays); err != nil {
		return err
	}
	for _, i := range s.Interfaces {
		if err := i.check(); err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
	}
	if err := s.BMC.check(); err != nil {
		return fmt.Errorf("BMC: %w", err)
	}
	if err := checkTags(s.Tags); err != nil {
		return err
	}
	if err := checkResources(s.Resources); err != nil {
		return err
	}
	return checkStorage(s.Disks, s.Filesystems)
}

func checkOverlays(what string, names []string) error {
	if len(names) > MaxOverlays {
		return fmt.Errorf("%w %ss: %d, at most %d", ErrInvalid, what, len(names), MaxOverlays)
	}
	for _, name := range names {
		if err := CheckLabel(what, strings.TrimPrefix(name, "~")); err != nil {
			return err
		}
	}
	return nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("%w tags: %d, at most %d", ErrInvalid, len(tags), MaxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if err := CheckLabel("tag", key); err != nil {
			return err
		}
		if err := checkText("tag "+key, tags[key], MaxTag); err != nil {
			return err
		}
	}
	return nil
}

func checkResources(resources map[string]Resource) error {
	if len(resources) > MaxResources {
		return fmt.Errorf("%w resources: %d, at most %d", ErrInvalid, len(resources), MaxResources)
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		if err := CheckLabel("resource", name); err != nil {
			return err
		}
		r := resources[name]
		if err := r.check(); err != nil {
			return fmt.Errorf("resource %s: %w", name, err)
		}
		total += len(r)
	}
	if total > maxResourceSize {
		return fmt.Errorf("%w resources: %d bytes in all, at most %d", ErrInvalid, total, maxResourceSize)
	}
	return nil
}

// maxProfileNames bounds the list of profiles of one object.
const maxProfileNames = 64

// checkBesides validates what nodes and profiles have beside their settings.
func checkBesides(kind, name, comment string, profiles []string) error {
	if err := checkText("comment", comment, 1024); err != nil {
		return fmt.Errorf("%s %s: %w", kind, name, err)
	}
	if len(profiles) > maxProfileNames {
		return fmt.Errorf("%w %s %s: %d profiles, at most %d", ErrInvalid, kind, name, len(profiles), maxProfileNames)
	}
	for _, p := range profiles {
		if err := CheckLabel("profile", strings.TrimPrefix(p, "~")); err != nil {
			return fmt.Errorf("%s %s: %w", kind, name, err)
		}
	}
	return nil
}

// checkWord keeps s one word, whatever script or file it is put into.
func checkWord(what, s string) error {
	if s == "" || strings.ContainsAny(s, " '\"\\`$#;|&<>") {
		return fmt.Errorf("%w %s %.80q: want one word without blanks, quotes, backslashes or any of $ # ; | & < >", ErrInvalid, what, s)
	}
	for _, r := range s {
		if r > '~' {
			return fmt.Errorf("%w %s %.80q: want ASCII", ErrInvalid, what, s)
		}
	}
	return checkText(what, s, 256)
}

// checkPhrase keeps s one line.
func checkPhrase(what, s string) error { return checkText(what, s, 256) }

// checkPath is for paths on a node.
func checkPath(what, s string) error {
	if !path.IsAbs(s) || path.Clean(s) != s {
		return fmt.Errorf("%w %s %.80q: want an absolute path in its shortest form", ErrInvalid, what, s)
	}
	return checkWord(what, s)
}
