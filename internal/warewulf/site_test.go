package warewulf

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sites are written in the forms that the documentation of Warewulf's releases shows.
var sites = []string{"v4.2", "v4.3", "v4.5", "v4.6", "v4.7", "faults"}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("differs from %s (-want +got), go test -update writes it anew:\n%s", path, diff)
	}
}

func TestSitesAreTaken(t *testing.T) {
	for _, name := range sites {
		t.Run(name, func(t *testing.T) {
			site, err := ReadFS(os.DirFS(filepath.Join("testdata", name)))
			if err != nil {
				t.Fatal(err)
			}
			var report, documents bytes.Buffer
			if _, err := site.Report.WriteTo(&report); err != nil {
				t.Fatal(err)
			}
			if err := config.Encode(&documents, site.Documents); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".report"), report.Bytes())
			golden(t, filepath.Join("testdata", name+".yaml"), documents.Bytes())
		})
	}
}
