package warewulf

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config"
)

// FuzzReadFS holds the reader to two things, whatever a site says: reading it again gives the same, and what it gives is
// accepted by a cluster that has the images.
func FuzzReadFS(f *testing.F) {
	for _, name := range sites {
		dir := filepath.Join("testdata", name)
		if _, err := os.Stat(filepath.Join(dir, "nodes.conf")); err != nil {
			dir = filepath.Join(dir, "etc", "warewulf")
		}
		nodes, err := os.ReadFile(filepath.Join(dir, "nodes.conf"))
		if err != nil {
			f.Fatal(err)
		}
		server, err := os.ReadFile(filepath.Join(dir, "warewulf.conf"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(nodes, server)
	}
	f.Add([]byte("nodes: {a: &x {resources: {b: &y [1, *y]}}, c: *x}"), []byte("ipaddr: 0.0.0.0/8"))
	f.Add([]byte("nodes: {'n[1-9]': {network devices: {d: {ipaddr: 255.255.255.250, netmask: 8}}}}"), []byte("paths: {wwchrootdir: /..}"))
	f.Fuzz(func(t *testing.T, nodes, server []byte) {
		files := fstest.MapFS{"nodes.conf": {Data: nodes}, "warewulf.conf": {Data: server}}
		site, err := ReadFS(files)
		if err != nil {
			return
		}
		again, err := ReadFS(files)
		if err != nil {
			t.Fatal(err)
		}
		if encode(t, site.Documents.Edit()) != encode(t, again.Documents.Edit()) || encode(t, site.Report) != encode(t, again.Report) {
			t.Error("read twice, it is not the same")
		}
		edit := site.Documents.Edit()
		if len(edit.Puts) == 0 {
			return
		}
		apply(t, cluster(t, site), edit)
		var b bytes.Buffer
		if err := config.Encode(&b, site.Documents); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse(config.File{Name: "again", Data: b.Bytes()}); err != nil {
			t.Errorf("what was taken cannot be read again: %v\n%s", err, b.String())
		}
	})
}

// FuzzTables holds the other readers to an error or nodes with names.
func FuzzTables(f *testing.F) {
	f.Add([]byte("name,mac,tags.x,resources.y\nn1,52:54:00:00:00:01,a,{}\n"))
	f.Add([]byte("10.0.0.1 n1 n1-bmc\n10.0.1.1 n1-ipmi\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		hosts, err := ReadHosts("f", data, nil)
		if err == nil {
			checkNames(t, hosts)
		}
		table, err := ReadCSV("f", data)
		if err == nil {
			checkNames(t, table)
		}
	})
}

func checkNames(t *testing.T, site Site) {
	for _, n := range site.Documents.Nodes {
		if err := fleet.CheckName("node", n.Name); err != nil {
			t.Error(err)
		}
	}
}
