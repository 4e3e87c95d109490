package bootagent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestInitIsTheOneThatWasNamedOrNone(t *testing.T) {
	root := tree(t, map[string]string{
		"sbin": "->usr/sbin", "usr/sbin/init": "->/lib/real", "lib/real": "", "opt/first": "", "opt/data": "", "opt/dir/": "",
		"opt/gone": "->/lib/gone", "opt/loop": "->loop", "opt/out": "->/../../lib/real",
	})
	for _, program := range []string{"lib/real", "opt/first"} {
		if err := os.Chmod(filepath.Join(root, program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ line, node, want, says string }{
		"nobody names one":              {"", "", "/sbin/init", ""},
		"the node does":                 {"", "/opt/first", "/opt/first", ""},
		"the command line does":         {"/opt/first", "", "/opt/first", ""},
		"both do":                       {"/sbin/init", "/opt/first", "/sbin/init", ""},
		"through links":                 {"", "/opt/out", "/opt/out", ""},
		"there is no such file":         {"", "/opt/second", "", "image: no init: none of /opt/second is a program; it is version 3 of debian: name another with samara node set n7 --init, or none with samara node unset n7 --init"},
		"there is none, by the line":    {"/opt/second", "/opt/first", "", "name another with init= in samara node set n7 --kernelargs"},
		"it is a directory":             {"", "/opt/dir", "", "none of /opt/dir is a program"},
		"it cannot be executed":         {"", "/opt/data", "", "none of /opt/data is a program"},
		"it is a link to nowhere":       {"", "/opt/gone", "", "none of /opt/gone is a program"},
		"it is a link to itself":        {"", "/opt/loop", "", "none of /opt/loop is a program"},
		"a path that is not in its way": {"", "/opt/first/x", "", "none of /opt/first/x is a program"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := chooseInit(root, c.line, fleet.Manifest{Node: "n7", Image: "debian", Version: 3, Init: c.node})
			if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, %v; want %q, %q", got, err, c.want, c.says)
			}
			if never := (hopeless{}); (c.says != "") != errors.As(err, &never) {
				t.Errorf("%v: want it hopeless, so that the machine boots again by what is configured then", err)
			}
		})
	}
	_, err := chooseInit(tree(t, map[string]string{"etc/": ""}), "", fleet.Manifest{Image: "debian", Version: 3})
	if err == nil || !strings.Contains(err.Error(), "none of /sbin/init, /etc/init, /bin/init, /bin/sh is a program; it is version 3 of debian: boot a version of the image that has one") {
		t.Errorf("an image without any: %v", err)
	}
}
