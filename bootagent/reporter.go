package bootagent

import (
	"context"
	"log/slog"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// Times between reports. While the image is incomplete the controllers say how often they want to be asked.
const (
	swarmDefault  = 2 * time.Second
	swarmShortest = 500 * time.Millisecond
	swarmLongest  = 30 * time.Second
	reportEvery   = 22 * time.Second // jittered: 16 to 28 s
	reportGather  = 300 * time.Millisecond
)

// reportRetry is how soon a report that did not arrive is sent again.
var reportRetry = backoff{Base: time.Second, Cap: 30 * time.Second}

// A caller asks a controller something. It is what a reporter needs of a session.
type caller interface {
	call(ctx context.Context, path string, in, out any) error
}

// A reporter tells the controllers how far the node is, and learns from them whom to fetch the image from, who may take
// part, and how to give the image on.
type reporter struct {
	log      *slog.Logger
	session  caller
	timeline *timeline
	bootID   string
	blob     fleet.Digest
	image    *image
	roster   *roster
	policy   *policy
}

// startReporter reports until ctx ends, as soon as the node knows which boot it is.
func (a *agent) startReporter(ctx context.Context) {
	a.parts.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-a.enrolled:
		}
		r := &reporter{a.log, a.session, a.timeline, a.manifest.BootID, a.manifest.Root.Digest, &a.image, &a.roster, &a.policy}
		r.run(ctx)
	})
}

// run reports until ctx ends: at once when something has changed, and from time to time.
func (r *reporter) run(ctx context.Context) {
	for failures := 0; ; {
		wait, err := r.send(ctx)
		changed := r.timeline.changed
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures == 0 {
				r.log.Warn("no controller takes reports; going on without", "err", err)
			}
			wait = reportRetry.delay(failures)
			failures++
			changed = nil // whatever happens, do not ask sooner
		case failures > 0:
			r.log.Info("controllers take reports again")
			failures = 0
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-changed:
			_ = sleep(ctx, reportGather) // more may change at once
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// send makes one report, and returns when to make the next.
func (r *reporter) send(ctx context.Context) (time.Duration, error) {
	client, d := r.image.swarm()
	swarm := fleet.SwarmReport{}
	if d != nil {
		swarm = swarmReport(r.blob, d.Progress())
		swarm.Complaints = complaints(client.Faults(), time.Now())
	}
	paused, _ := r.policy.paused()
	swarm.Roster, swarm.Paused, swarm.Ended = r.roster.id(), paused.why, paused.ended
	report := r.timeline.report(r.bootID, swarm)
	var answer fleet.SwarmAnswer
	if err := r.session.call(ctx, fleet.AgentReportPath, report, &answer); err != nil {
		return 0, err
	}
	if answer.Roster != nil {
		r.roster.learn(*answer.Roster)
	}
	r.policy.learn(answer.Seeding, answer.Reseed)
	if d == nil || swarm.Complete {
		return jitter(reportEvery), nil
	}
	r.image.offer(d, answer.Peers, answer.Origin)
	return swarmInterval(answer.Interval), nil
}

// swarmInterval keeps what a controller wishes within bounds.
func swarmInterval(wish time.Duration) time.Duration {
	if wish <= 0 {
		wish = swarmDefault
	}
	return jitter(min(max(wish, swarmShortest), swarmLongest))
}

func swarmReport(blob fleet.Digest, p seeder.Progress) fleet.SwarmReport {
	return fleet.SwarmReport{Blob: blob, Have: p.Have, Complete: p.Complete, FromOrigin: p.FromOrigin, FromPeers: p.FromPeers,
		FromControl: p.FromControl, Uploaded: p.Uploaded, Peers: p.Peers}
}

// complaints returns faults, given the latest first, as they are reported: those that are still held against a peer, wrong
// bytes before all else.
func complaints(faults []seeder.Fault, now time.Time) []fleet.Complaint {
	var wrong, others []fleet.Complaint
	for _, f := range faults {
		c := fleet.Complaint{Peer: f.Peer, Fault: f.Kind, Count: f.Count, Age: now.Sub(f.Last)}
		switch {
		case c.Age >= f.Kind.Lasts():
		case f.Kind == fleet.FaultCorrupt:
			wrong = append(wrong, c)
		default:
			others = append(others, c)
		}
	}
	list := append(wrong, others...)
	return list[:min(len(list), fleet.MaxComplaints)]
}
