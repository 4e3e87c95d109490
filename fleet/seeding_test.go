package fleet

import (
	"errors"
	"strings"
	"testing"
)

func TestSeedingIsChecked(t *testing.T) {
	for what, c := range map[string]struct {
		seeding Seeding
		want    string
	}{
		"nothing":                 {Seeding{}, ""},
		"everything":              {Seeding{NodeUpload: MinUpload, OriginUpload: 1 << 40, PauseFile: "/run/job", PauseCommand: "test -e /run/a && ! pgrep b"}, ""},
		"a slow node":             {Seeding{NodeUpload: MinUpload - 1}, "node upload limit of 65535 bytes per second"},
		"a slow origin":           {Seeding{OriginUpload: 1}, "origin upload limit"},
		"both slow, in one order": {Seeding{NodeUpload: 1, OriginUpload: -1}, "node upload limit"},
		"less than nothing":       {Seeding{NodeUpload: -MinUpload}, "node upload limit"},
		"a relative file":         {Seeding{PauseFile: "run/job"}, "absolute path"},
		"a file that climbs":      {Seeding{PauseFile: "/run/../job"}, "absolute path"},
		"a file on two lines":     {Seeding{PauseFile: "/run/\njob"}, "absolute path"},
		"a long file":             {Seeding{PauseFile: "/" + strings.Repeat("a", MaxPauseFile)}, "absolute path"},
		"a file that is no text":  {Seeding{PauseFile: "/run/\xff"}, "absolute path"},
		"a command on two lines":  {Seeding{PauseCommand: "true\nreboot"}, "one line"},
		"a long command":          {Seeding{PauseCommand: strings.Repeat("a", MaxPauseCommand+1)}, "one line"},
	} {
		t.Run(what, func(t *testing.T) {
			err := c.seeding.check()
			if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			cluster := testCluster()
			cluster.Format, cluster.Seeding = Format, c.seeding
			if _, err := (State{}).Apply(Entry{Command: InitCluster{Cluster: cluster}}, 1); (err == nil) != (c.want == "") {
				t.Errorf("a cluster with it: %v", err)
			}
		})
	}
}
