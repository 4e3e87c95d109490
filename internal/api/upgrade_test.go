package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

// someHeads are the controllers of a cluster, whatever its state says.
type someHeads struct {
	Controllers
	all []ControllerView
}

func (h someHeads) List() []ControllerView { return h.all }

func TestAChangeTellsWhatHoldsAnUpgradeBack(t *testing.T) {
	ready := ControllerView{ID: "head1", Alive: true, Version: "2", Format: fleet.Format}
	for about, x := range map[string]struct {
		others []ControllerView
		want   string
	}{
		"none": {nil, "; by now every controller is new enough: try again in some seconds"},
		"all kinds": {[]ControllerView{
			{ID: "head2", Alive: true, Version: "1", Format: fleet.Format - 1}, {ID: "head3", Version: "1", Format: fleet.Format - 1},
			{ID: "head4", Version: "2", Format: fleet.Format}, {ID: "head5"}},
			"; what holds it back: head2 runs samara 1: upgrade it, head3 runs samara 1: upgrade it, head4 is down: start it, or remove it from the cluster, head5 was not heard of: start it, or remove it from the cluster"},
	} {
		rig := newRig(t, func(c *Config) {
			c.Controllers = someHeads{c.Controllers, append([]ControllerView{ready}, x.others...)}
		})
		rig.refuse = fmt.Errorf("config.edit %w", fleet.ErrFormat)
		_, err := rig.local(t).Edit(t.Context(), putNodes(fleet.Node{Name: "n2"}), ChangeOptions{})
		if !errors.Is(err, fleet.ErrFormat) || !strings.HasSuffix(err.Error(), x.want) {
			t.Errorf("%s: %v, want ErrFormat and %q", about, err, x.want)
		}
	}
}
