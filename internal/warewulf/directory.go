package warewulf

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// An Image is an image of the site: a directory that nodes boot, or the name of one.
type Image struct {
	Name string `json:"name"`           // here
	Was  string `json:"was"`            // at the site
	Path string `json:"path,omitempty"` // of its root file system, to be imported from there; "" if it is not there
	Used bool   `json:"used"`           // whether a node or profile names it

	file string // Path below what was read
}

// An Overlay is a directory of files that the site lays over images. Nothing is read of it but names.
type Overlay struct {
	Name         string   `json:"name"`
	Path         string   `json:"path"`
	Distribution bool     `json:"distribution"`        // whether it came with Warewulf; else the site made or changed it
	Shadows      bool     `json:"shadows,omitempty"`   // whether it stands in the place of one that came with Warewulf
	Files        []string `json:"files"`               // regular files and links, below the overlay, by name
	Templates    []string `json:"templates,omitempty"` // those of Files that Warewulf renders: their names end in .ww
	Truncated    bool     `json:"truncated,omitempty"` // whether there are more files than are listed
	Used         bool     `json:"used"`                // whether a node or profile names it

	file string // Path below what was read
}

// What is listed at most.
const (
	maxDirectories  = 10_000
	maxOverlayFiles = 10_000
)

// A layout says where a site has what is too large for its configuration. Several places stand for one another.
type layout struct{ images, site, distribution []string }

// directories returns the places that warewulf.conf names, and where packages put them otherwise.
func directories(s *server) layout {
	at := func(key string, more ...string) []string {
		if s != nil && s.paths[key] != "" {
			return append([]string{s.paths[key]}, more...)
		}
		return more
	}
	var l layout
	l.images = at("wwchrootdir", "/var/lib/warewulf/chroots", "/srv/warewulf/chroots", "/chroots")
	l.site = at("wwoverlaydir", "/var/lib/warewulf/overlays", "/srv/warewulf/overlays", "/overlays")
	for _, d := range at("datadir", "/usr/share") {
		l.distribution = append(l.distribution, path.Join(d, "warewulf/overlays"))
	}
	return l
}

// listFirst returns the directories in the first of some places that is there.
func listFirst(fsys fs.FS, places []string) (string, []string, error) {
	for _, p := range places {
		p = strings.TrimPrefix(path.Clean("/"+p), "/")
		if p == "" {
			continue
		}
		found, err := fs.ReadDir(fsys, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("list of %s: %w", p, err)
		}
		var names []string
		for _, e := range found {
			if info, err := fs.Stat(fsys, path.Join(p, e.Name())); err == nil && info.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				names = append(names, e.Name())
			}
		}
		if len(names) > maxDirectories {
			return "", nil, fmt.Errorf("list of %s: %d directories, at most %d are read", p, len(names), maxDirectories)
		}
		return p, names, nil
	}
	return "", nil, nil
}

func listImages(fsys fs.FS, places []string) ([]Image, error) {
	dir, names, err := listFirst(fsys, places)
	var all []Image
	for _, n := range names {
		root := path.Join(dir, n, "rootfs")
		if info, err := fs.Stat(fsys, root); err == nil && info.IsDir() {
			all = append(all, Image{Was: n, Path: root})
		}
	}
	return all, err
}

func listOverlays(fsys fs.FS, l layout) ([]Overlay, error) {
	var all []Overlay
	for _, from := range []struct {
		places       []string
		distribution bool
	}{{l.site, false}, {l.distribution, true}} {
		dir, names, err := listFirst(fsys, from.places)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if at := slices.IndexFunc(all, func(o Overlay) bool { return o.Name == n && !o.Distribution }); from.distribution && at >= 0 {
				all[at].Shadows = true
				continue
			}
			o := Overlay{Name: n, Path: path.Join(dir, n), Distribution: from.distribution}
			if info, err := fs.Stat(fsys, path.Join(o.Path, "rootfs")); err == nil && info.IsDir() {
				o.Path = path.Join(o.Path, "rootfs") // which releases up to 4.3 did not have
			}
			if err := o.list(fsys); err != nil {
				return nil, err
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Overlay) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// list lists the files of an overlay.
func (o *Overlay) list(fsys fs.FS) error {
	err := fs.WalkDir(fsys, o.Path, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case len(o.Files) == maxOverlayFiles:
			o.Truncated = true
			return fs.SkipAll
		}
		name := strings.TrimPrefix(p, o.Path+"/")
		o.Files = append(o.Files, name)
		if strings.HasSuffix(name, ".ww") {
			o.Templates = append(o.Templates, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("overlay %s: %w", o.Name, err)
	}
	return nil
}

// settleImages names the images that are there, adds those that are named only, and says what to do with each.
func (r *reader) settleImages(there []Image) []Image {
	seen := map[string]bool{}
	for i := range there {
		image := &there[i]
		seen[image.Was] = true
		image.Name = r.imageNames[image.Was]
		_, image.Used = r.imageUsed[image.Was]
		r.notebook.note(Left, image.file, 0, ref{}, "image "+image.Was, "an image that is imported by itself", "samara image import "+image.Path+" "+image.Name)
	}
	for was, line := range r.imageUsed {
		if !seen[was] {
			there = append(there, Image{Name: r.imageNames[was], Was: was, Used: true})
			r.note(Left, line, ref{}, "image name", fmt.Sprintf("image %.80q is named, and its directory is not there", was), "import one as "+r.imageNames[was]+" before this is applied")
		}
	}
	slices.SortFunc(there, func(a, b Image) int { return cmp.Compare(a.Name, b.Name) })
	return there
}

// ofWarewulf are overlays by which Warewulf's own programs come onto a node.
var ofWarewulf = []string{"wwinit", "wwclient"}

// settleOverlays says of the overlays which are used, and of names that there is none.
func (r *reader) settleOverlays(all []Overlay) {
	used := map[string]*object{}
	for _, o := range slices.Concat(r.allNodes(), sorted(r.profiles)) {
		for _, name := range slices.Concat(o.SystemOverlays, o.RuntimeOverlays) {
			used[strings.TrimPrefix(name, "~")] = o
		}
	}
	for i := range all {
		_, all[i].Used = used[all[i].Name]
		if all[i].Used && !all[i].Distribution {
			r.notebook.note(Left, all[i].file, 0, ref{}, "overlay "+all[i].Name,
				"an overlay of the site: "+all[i].size(), "its name stays in the lists; what it does must be in the image, or in what configures nodes after they boot")
		}
	}
	for name, o := range used {
		there := slices.ContainsFunc(all, func(o Overlay) bool { return o.Name == name })
		line := cmpZero(r.places[place{o.ref, "system_overlays"}], cmpZero(r.places[place{o.ref, "runtime_overlays"}], o.line))
		switch {
		case slices.Contains(ofWarewulf, name):
			r.note(Moot, line, ref{}, "system overlay", fmt.Sprintf("overlay %s brings Warewulf's own programs onto a node; its name stays in the list", name), "")
		case len(all) > 0 && !there:
			r.note(Left, line, ref{}, "system overlay, runtime overlay", fmt.Sprintf("overlay %s is named, and its directory is not there", name), "leave it out, or bring its files")
		}
	}
}

// shipped are the templates that come with Warewulf, which need no word.
var shipped = []string{"default.ipxe", "unconfigured.ipxe", "localdisk.ipxe", "dracut.ipxe", "grub.cfg.ww", "chainload.ww"}

// noteFiles says of other files of the site that they were seen.
func (r *reader) noteFiles(fsys fs.FS, at string) {
	for _, f := range []struct{ name, what, do string }{
		{"auth.conf", "users of Warewulf's API", "people have certificates with a role here"},
		{"defaults.conf", "what nodes have that nothing is said of (up to 4.5)", "say in the profile default what of it is still wanted"},
		{"keys", "host keys of SSH, one for all nodes", "let nodes make host keys when they boot, or bring these by an overlay; an image is no place for them"},
	} {
		if _, err := fs.Stat(fsys, path.Join(at, f.name)); err == nil {
			r.notebook.note(Left, path.Join(at, f.name), 0, ref{}, f.name, f.what, f.do)
		}
	}
	for _, dir := range []string{"ipxe", "grub"} {
		files, err := fs.ReadDir(fsys, path.Join(at, dir))
		for _, f := range files {
			if err == nil && !f.IsDir() && !slices.Contains(shipped, f.Name()) {
				r.notebook.note(Left, path.Join(at, dir, f.Name()), 0, ref{}, dir, "a template for the boot that the site made", "boot scripts are made here for each node; say what the template did with kernel arguments, if it did")
			}
		}
	}
}

// size writes how many files an overlay has: "3 files, 1 of them a template".
func (o Overlay) size() string {
	text := fmt.Sprintf("%d files", len(o.Files))
	if len(o.Files) == 1 {
		text = "1 file"
	}
	switch n := len(o.Templates); n {
	case 0:
		return text
	case 1:
		return text + ", 1 of them a template"
	default:
		return fmt.Sprintf("%s, %d of them templates", text, n)
	}
}
