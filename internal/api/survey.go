package api

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds on how many series there are. Series of what is gone go with it, since each survey begins anew.
const (
	maxSwarmSeries   = 64  // image versions, the ones imported last
	maxRackSeries    = 512 // racks of a version
	maxSuspectSeries = 128 // complaints
)

// A survey measures a controller once; see docs/metrics.md for what each family means.
type survey struct {
	*Server
	ctx context.Context
}

// Describe implements prometheus.Collector. It names nothing beforehand, so that what is collected need not be there
// each time.
func (survey) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s survey) Collect(ch chan<- prometheus.Metric) {
	out := series{ch}
	state := s.Store.State()
	st := s.Health.Status(s.ctx)
	s.collectController(out, state, st)
	collectBoot(out, st)
	if s.Controllers != nil {
		all := s.Controllers.List()
		voters, _ := availability(all)
		out.gauge("samara_raft_voters", "Controllers that have a vote.", float64(voters))
		for _, c := range all {
			out.gauge("samara_controller_alive", "Whether this controller hears of that one.", truth(c.Alive), "controller", c.ID)
			out.gauge("samara_controller_lag_entries", "Entries of the log that a controller is behind the leader.", float64(c.Lag), "controller", c.ID)
			out.gauge("samara_controller_blobs_missing", "Blobs that images need and a controller lacks.", float64(c.BlobsMissing), "controller", c.ID)
		}
	}
	if s.Swarms != nil {
		s.collectSwarms(out, state)
	}
}

func (s survey) collectController(out series, state fleet.State, st Status) {
	out.gauge("samara_info", "The controller that answers; always 1.", 1, "controller", st.ID, "version", st.Version)
	out.gauge("samara_raft_leading", "Whether this controller leads.", truth(st.ID != "" && st.Leader == st.ID))
	out.gauge("samara_raft_quorum", "Whether changes can be committed.", truth(st.Quorum))
	out.gauge("samara_raft_revision", "Revision of the state that this controller has applied.", float64(state.Revision()))
	counts := map[string]int{StateUnseen: 0, StateFailing: 0, StateSilent: 0, StateReady: 0}
	for _, n := range s.viewNodes(state.Nodes(), state.CountNodes()) {
		counts[n.State]++
	}
	for name, n := range counts {
		out.gauge("samara_nodes", "Nodes by state, as samara node list has it.", float64(n), "state", name)
	}
	out.gauge("samara_problems", "Problems that samara status tells.", float64(len(st.Problems)+len(s.suspicions())))
	out.gauge("samara_gossip_members", "Processes that gossip calls alive.", float64(st.Members))
	out.gauge("samara_blobs", "Blobs in this controller's store.", float64(st.Blobs.Count))
	out.gauge("samara_blob_bytes", "Bytes of those.", float64(st.Blobs.Bytes))
	out.gauge("samara_disk_free_bytes", "Free bytes of the store's file system.", float64(st.Disk.Free))
	out.gauge("samara_disk_size_bytes", "Size of the store's file system.", float64(st.Disk.Size))
	out.gauge("samara_origin_blobs", "Blobs that this controller offers to swarms.", float64(st.Seeding.Torrents))
	out.gauge("samara_origin_peers", "Peers connected to this controller.", float64(st.Seeding.Peers))
	out.counter("samara_origin_sent_bytes_total", "Bytes of payload that this controller sent to nodes of swarms.", float64(st.Seeding.OriginBytes))
	out.counter("samara_origin_copied_bytes_total", "Bytes of payload that this controller sent to other controllers.", float64(st.Seeding.CopiedBytes))
	ranges := s.Ranges()
	for outcome, n := range map[string]int64{"served": ranges.Served, "refused": ranges.Refused} {
		out.counter("samara_fallback_ranges_total", "Ranges of images that nodes asked for over HTTPS because the swarm gave them nothing.", float64(n), "outcome", outcome)
	}
	out.counter("samara_fallback_sent_bytes_total", "Bytes of those that were sent.", float64(ranges.Bytes))
	out.gauge("samara_fallback_ranges_sending", "Ranges that are being sent.", float64(ranges.Now))
}

func collectBoot(out series, st Status) {
	b := st.Boot
	out.counter("samara_boot_dhcp_requests_total", "DHCP datagrams.", float64(b.Requests))
	out.counter("samara_boot_dhcp_answers_total", "DHCP replies.", float64(b.Answers))
	for reason, n := range map[string]uint64{"malformed": b.Malformed, "unknown": b.Unknown, "limit": b.Dropped} {
		out.counter("samara_boot_dhcp_dropped_total", "DHCP requests that were not answered.", float64(n), "reason", reason)
	}
	out.counter("samara_boot_tftp_files_total", "Files sent by TFTP.", float64(b.TFTP))
	out.counter("samara_boot_http_requests_total", "Requests to the boot port.", float64(b.HTTP))
	out.counter("samara_boot_http_failed_total", "Requests to the boot port that were answered with an error, or cut off by one.", float64(b.HTTPFailed))
	out.gauge("samara_boot_held_files", "Kernels and initramfs in memory.", float64(b.HeldFiles))
	out.gauge("samara_boot_held_bytes", "Bytes of those.", float64(b.HeldBytes))
}

// collectSwarms measures the image versions that nodes boot, or that controllers have sent some of.
func (s survey) collectSwarms(out series, state fleet.State) {
	for _, ref := range newestVersions(state) {
		v, err := s.Swarms.Swarm(s.ctx, ref)
		if err != nil {
			if !errors.Is(err, fleet.ErrNotFound) { // it was deleted meanwhile
				s.Logger.Debug("a swarm cannot be measured", "image", ref, "err", err)
			}
			continue
		}
		if v.Nodes.Total > 0 || v.Sent > 0 || v.Copied > 0 {
			collectSwarm(out, ref.String(), v)
		}
	}
	suspects := s.Swarms.Suspects()
	for _, f := range suspects[:min(len(suspects), maxSuspectSeries)] {
		node := f.Node
		if node == "" {
			node = f.Peer.String()
		}
		out.gauge("samara_swarm_faults", "Times that peers complain of a node, or of an address that is none's.", float64(f.Count), "node", node, "address", f.Peer.String(), "fault", string(f.Fault))
	}
}

// newestVersions returns at most maxSwarmSeries image versions, the latest of each image before the one before it.
func newestVersions(state fleet.State) []fleet.ImageRef {
	var refs []fleet.ImageRef
	for age, more := 0, true; more && len(refs) < maxSwarmSeries; age++ {
		more = false
		for i := range state.Images() {
			if at := len(i.Versions) - 1 - age; at >= 0 && len(refs) < maxSwarmSeries {
				refs = append(refs, fleet.ImageRef{Name: i.Name, Version: i.Versions[at].Number})
				more = true
			}
		}
	}
	return refs
}

func collectSwarm(out series, image string, v SwarmView) {
	out.gauge("samara_swarm_size_bytes", "Size of an image.", float64(v.Size), "image", image)
	for state, n := range map[string]int{"complete": v.Nodes.Complete, "fetching": v.Nodes.Fetching, "silent": v.Nodes.Silent} {
		out.gauge("samara_swarm_nodes", "Nodes that boot an image, by what they hold of it.", float64(n), "image", image, "state", state)
	}
	out.gauge("samara_swarm_nodes_paused", "Complete nodes that send nothing now.", float64(v.Nodes.Paused), "image", image)
	out.gauge("samara_swarm_nodes_ended", "Complete nodes that send nothing any more, as their reseed has it.", float64(v.Nodes.Ended), "image", image)
	out.gauge("samara_swarm_origin_ratio", "How many times controllers sent an image to nodes; 1 is each byte once.", v.Ratio, "image", image)
	out.gauge("samara_swarm_receive_bytes_per_second", "What all nodes receive of an image.", float64(v.Rate), "image", image)
	out.gauge("samara_swarm_stragglers", "Nodes that are far behind the others.", float64(len(v.Stragglers)), "image", image)
	for _, c := range v.Controllers {
		labels := []string{"image", image, "controller", c.ID}
		out.gauge("samara_swarm_controller_offers", "Whether a controller offers an image.", truth(c.Alive && c.Offers), labels...)
		out.counter("samara_swarm_controller_sent_bytes_total", "Bytes of payload of an image that a controller sent to nodes.", float64(c.Sent), labels...)
		out.counter("samara_swarm_controller_copied_bytes_total", "Bytes of payload of an image that a controller sent to other controllers.", float64(c.Copied), labels...)
		out.gauge("samara_swarm_controller_peers", "Peers connected to a controller for an image.", float64(c.Peers), labels...)
		out.gauge("samara_swarm_controller_unsent_pieces", "Pieces of an image that a controller has never sent.", float64(c.Unsent), labels...)
	}
	for _, r := range v.Racks[:min(len(v.Racks), maxRackSeries)] {
		labels := []string{"image", image, "rack", r.Name}
		out.gauge("samara_swarm_rack_nodes", "Nodes of a rack that boot an image.", float64(r.Nodes), labels...)
		out.gauge("samara_swarm_rack_complete_nodes", "Those that hold all of it.", float64(r.Complete), labels...)
		out.gauge("samara_swarm_rack_have_ratio", "What a rack's nodes hold of an image on average, 0 to 1.", r.Have, labels...)
	}
}

// series are where metrics go.
type series struct{ ch chan<- prometheus.Metric }

func (s series) gauge(name, help string, value float64, labels ...string) {
	s.put(prometheus.GaugeValue, name, help, value, labels)
}

func (s series) counter(name, help string, value float64, labels ...string) {
	s.put(prometheus.CounterValue, name, help, value, labels)
}

// put sends a metric with labels, each a name and a value.
func (s series) put(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	d := prometheus.NewDesc(name, help, names, nil)
	m, err := prometheus.NewConstMetric(d, kind, value, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	s.ch <- m
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
