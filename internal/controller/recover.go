package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/raftstore"
)

// RecoverOptions say which controller is to go on alone.
type RecoverOptions struct {
	Dir    string // of the controller, whose samara serve must not run
	DryRun bool   // say what would be done
}

// A RecoverPlan is what a recovery does, or would do.
type RecoverPlan struct {
	Cluster  string         `json:"cluster"`
	ID       string         `json:"id"`
	Revision fleet.Revision `json:"revision"`
	Lost     []string       `json:"lost"`  // controllers that are removed from the cluster
	Steps    []string       `json:"steps"` // in words
}

// Recover makes the controller in o.Dir the only one of its cluster, with all that its log holds: the way out when a
// majority of the controllers is lost for good. The others must never be started again with what they hold. It is
// repeatable: interrupted, the directory is as before or recovered.
func Recover(_ context.Context, o RecoverOptions) (RecoverPlan, error) {
	d := dir(o.Dir)
	me, err := d.load()
	if err != nil {
		return RecoverPlan{}, err
	}
	unlock, err := d.lock()
	if err != nil {
		return RecoverPlan{}, err
	}
	defer unlock()
	had, err := raftstore.Inspect(d.path("raft"))
	if err != nil {
		return RecoverPlan{}, err
	}
	cluster, ok := had.State.Cluster()
	if !ok {
		return RecoverPlan{}, fmt.Errorf("%s: cluster: %w: this controller never received the cluster's state; recover another one, or restore a backup", d, fleet.ErrNotFound)
	}
	plan := RecoverPlan{Cluster: cluster.Name, ID: me.ID, Revision: had.Revision, Lost: []string{}}
	for _, c := range cluster.Controllers {
		if c.ID != me.ID {
			plan.Lost = append(plan.Lost, c.ID)
		}
	}
	if len(plan.Lost) == 0 && slices.Equal(had.Voters, []string{me.ID}) && len(had.Learners) == 0 {
		return plan, fmt.Errorf("controller %s %w: it is the only one of its cluster and elects itself; start it (systemctl start samara)", me.ID, fleet.ErrExists)
	}
	plan.Steps = []string{
		fmt.Sprintf("keep what %s holds: revision %d, %d nodes", me.ID, had.Revision, had.State.CountNodes()),
		fmt.Sprintf("remove %s from cluster %s: what they acknowledged and %s never received is lost", strings.Join(plan.Lost, ", "), cluster.Name, me.ID),
		fmt.Sprintf("make %s the only voter", me.ID),
	}
	if o.DryRun {
		return plan, nil
	}
	after, err := raftstore.Recover(raftstore.RecoverOptions{Dir: d.path("raft"), ID: me.ID, Address: controlAddress(me.Address, me.Ports)})
	if err != nil {
		return plan, err
	}
	plan.Revision = after.Revision
	return plan, nil
}
