package warewulf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config"
)

// A Site is what a Warewulf server, or a smaller source, has to say here.
type Site struct {
	Documents config.Documents
	Report    Report
	Images    []Image   // by name
	Overlays  []Overlay // by name
	Renamed   []Renamed // in the order of files: what has another name here than there

	places map[place]config.Position
}

// A Renamed is a node, profile, network device or image whose name at the site is none that it can have here.
type Renamed struct {
	Kind string `json:"kind"` // node, profile, interface or image
	Was  string `json:"was"`
	Name string `json:"name"`
}

// Where returns where a file says a field of an object, so that a refusal of the cluster can name it: path is as in
// config.Documents.Where, which knows documents that were parsed. If the file does not say that, it is the place of what is
// nearest above it: the object itself, if path is ""; false if that is nowhere either.
func (s Site) Where(kind, name, path string) (config.Position, bool) {
	for {
		if at, ok := s.places[place{ref{kind, name}, path}]; ok {
			return at, true
		}
		if path == "" {
			return config.Position{}, false
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
}

// Read reads a site below a directory of this machine. The directory is either one that has nodes.conf and warewulf.conf
// in it, and perhaps overlays and chroots, or one that has etc/warewulf and var/lib/warewulf below it, such as the root of
// a server's disk. The error says which file cannot be read, and where in it; what can be read and not be taken is in
// the report.
func Read(dir string) (Site, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Site{}, fmt.Errorf("import of %s: %w", dir, err)
	}
	// /etc/warewulf itself is meant with what belongs to it.
	if up := filepath.Dir(filepath.Dir(abs)); filepath.ToSlash(abs) == path.Join(filepath.ToSlash(up), "etc/warewulf") {
		abs = up
	}
	site, err := read(os.DirFS(abs), func(name string) string { return filepath.Join(abs, name) })
	if err != nil {
		return Site{}, fmt.Errorf("import of %s: %w", abs, err)
	}
	return site, nil
}

// ReadFS reads a site in a file system, as Read does. Paths in what it returns are those of the file system.
func ReadFS(fsys fs.FS) (Site, error) {
	return read(fsys, func(name string) string { return name })
}

// read reads a site in a file system. Paths of directories are told as full says.
func read(fsys fs.FS, full func(name string) string) (Site, error) {
	at := ""
	for _, dir := range []string{".", "etc/warewulf"} {
		if _, err := fs.Stat(fsys, path.Join(dir, "nodes.conf")); err == nil {
			at = dir
			break
		}
	}
	if at == "" {
		return Site{}, fmt.Errorf("no nodes.conf, and no etc/warewulf/nodes.conf: %w", fs.ErrNotExist)
	}
	r := newReader()
	serverFile, nodesFile := path.Join(at, "warewulf.conf"), path.Join(at, "nodes.conf")
	server, err := r.server(fsys, serverFile)
	if err != nil {
		return Site{}, err
	}
	var site Site
	dirs := directories(server)
	if site.Images, err = listImages(fsys, dirs.images); err != nil {
		return Site{}, err
	}
	if site.Overlays, err = listOverlays(fsys, dirs); err != nil {
		return Site{}, err
	}
	for i := range site.Images {
		site.Images[i].file, site.Images[i].Path = site.Images[i].Path, full(site.Images[i].Path)
		r.imageNames[site.Images[i].Was] = ""
	}
	for i := range site.Overlays {
		site.Overlays[i].file, site.Overlays[i].Path = site.Overlays[i].Path, full(site.Overlays[i].Path)
	}
	data, err := readFile(fsys, nodesFile)
	if err != nil {
		return Site{}, err
	}
	if err := r.readNodes(nodesFile, data); err != nil {
		return Site{}, err
	}
	if site.Documents, err = r.settle(server, serverFile, nodesFile); err != nil {
		return Site{}, err
	}
	r.file = nodesFile
	site.Images = r.settleImages(site.Images)
	r.settleOverlays(site.Overlays)
	r.noteFiles(fsys, at)
	site.Report = r.report()
	site.places, site.Renamed = r.positions(nodesFile), r.renamed
	return site, nil
}

// positions returns the places of all that was read, which is in one file but for a few objects.
func (r *reader) positions(file string) map[place]config.Position {
	all := make(map[place]config.Position, len(r.places))
	for p, line := range r.places {
		in := file
		if f, ok := r.files[p.ref]; ok {
			in = f
		}
		all[p] = config.Position{File: in, Line: line, Column: 1}
	}
	return all
}

func newReader() *reader {
	return &reader{imageNames: dictionary{}, imageUsed: map[string]int{}, profiles: map[string]*object{}, nodes: map[string]*object{},
		places: map[place]int{}, files: map[ref]string{}, orders: map[string][]*object{}}
}

// server reads warewulf.conf; nil if there is none.
func (r *reader) server(fsys fs.FS, file string) (*server, error) {
	data, err := readFile(fsys, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.notebook.note(Left, file, 0, ref{}, "warewulf.conf", "it is not there, and with it the network that nodes boot on", "samara network add boot --subnet SUBNET, unless there is one")
		return nil, nil
	case err != nil:
		return nil, err
	}
	return r.readServer(file, data)
}

// readFile reads a file that is no larger than what is parsed.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxFile)
	}
	return data, nil
}

// loopback is an address that no node has.
var loopback = netip.MustParseAddr("127.0.0.1")

// settle makes documents of what was read, once all of it was.
func (r *reader) settle(s *server, serverFile, nodesFile string) (config.Documents, error) {
	r.mountExports(s, serverFile)
	r.file = nodesFile
	r.breakCycles()
	r.giveOwn()
	r.dropDuplicates()
	networks := r.networks(s, serverFile, nodesFile)
	r.file = nodesFile
	r.fitLent(networks)
	r.settleLists()
	t, err := newTrial(r)
	if err != nil {
		return config.Documents{}, fmt.Errorf("trial of what was read: %w", err)
	}
	return config.Documents{Networks: t.networks(networks), Profiles: t.profiles(), Nodes: t.nodes()}, nil
}

func (o *object) profile() fleet.Profile {
	return fleet.Profile{Name: o.name, Comment: o.comment, Profiles: o.profiles, Settings: o.Settings}
}

func (o *object) node() fleet.Node {
	return fleet.Node{Name: o.name, Comment: o.comment, Profiles: o.profiles, Settings: o.Settings, AssetKey: o.assetKey}
}
