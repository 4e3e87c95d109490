package controller

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/samara-hpc/samara/internal/api"
)

func TestAControllerIsDisownedByAllWhoAnswer(t *testing.T) {
	t.Parallel()
	now := time.Now()
	refuses := fellow{heard: now.Add(-time.Hour), err: fmt.Errorf("%w: controller head3 was removed", api.ErrForbidden)}
	for what, c := range map[string]struct {
		others []fellow
		want   bool
	}{
		"nobody else":                 {nil, false},
		"one refuses":                 {[]fellow{refuses}, true},
		"all refuse":                  {[]fellow{refuses, refuses}, true},
		"one refuses, one is silent":  {[]fellow{refuses, {err: api.ErrNoAnswer}}, true},
		"one refuses, one answers":    {[]fellow{refuses, {heard: now}}, false},
		"all are silent":              {[]fellow{{err: api.ErrNoAnswer}, {err: api.ErrNoAnswer}}, false},
		"one was not asked yet":       {[]fellow{{}}, false},
		"one answers":                 {[]fellow{{heard: now}}, false},
		"one answered, and is silent": {[]fellow{refuses, {heard: now, err: api.ErrNoAnswer}}, true},
	} {
		n := &neighbours{byID: map[string]*fellow{}}
		for i := range c.others {
			n.byID[fmt.Sprint(i)] = &c.others[i]
		}
		if err := n.disown(); (err != nil) != c.want || err != nil && !errors.Is(err, api.ErrForbidden) {
			t.Errorf("%s: got %v, want disowned %t", what, err, c.want)
		}
	}
}
