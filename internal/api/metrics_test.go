package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// busy is a rig about which there is something to measure in every family.
func busy(t *testing.T, edit ...func(*Config)) *rig {
	rig := newRig(t, edit...)
	rig.swarm = SwarmView{Size: 1000, Pieces: 4, Nodes: SwarmNodes{Total: 3, Complete: 1, Fetching: 2}, Sent: 1030, Ratio: 1.03, Rate: 7,
		Controllers: []SwarmController{{ID: "head", Alive: true, Offers: true, Sent: 1030, Copied: 2000, Ratio: 1.03, Peers: 2}},
		Racks:       []SwarmRack{{Name: "r\"1\\\n", Nodes: 3, Complete: 1, Have: 0.5}}, Stragglers: []Straggler{{Node: "n1"}}}
	rig.faults = []Suspect{suspect("n1"), suspect("")}
	return rig
}

// scrape asks for metrics.
func scrape(t *testing.T, get func(string) (*http.Response, error), url string) string {
	t.Helper()
	resp, err := get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != metricsType {
		t.Fatalf("GET %s: %s %s %v %s", url, resp.Status, resp.Header.Get("Content-Type"), err, b)
	}
	return string(b)
}

func TestMetricsAreAsDocumented(t *testing.T) {
	rig := busy(t)
	c := rig.remote(t, identity.Subject{Role: identity.RoleAdmin, Name: "prometheus"})
	text := scrape(t, c.http.Get, c.targets[0].base+MetricsPath)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("not Prometheus' text format: %v\n%s", err, text)
	}
	var got []string
	for name, f := range families {
		switch {
		case strings.HasPrefix(name, "go_"), strings.HasPrefix(name, "process_"):
			continue
		case f.GetHelp() == "":
			t.Errorf("%s has no help", name)
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		got = append(got, fmt.Sprintf("%s %s {%s}", name, strings.ToLower(f.GetType().String()), strings.Join(labels, ", ")))
	}
	slices.Sort(got)
	if diff := cmp.Diff(documented(t), got); diff != "" {
		t.Errorf("docs/metrics.md and /metrics (-documented +told):\n%s", diff)
	}
	if families["go_goroutines"] == nil || families["process_resident_memory_bytes"] == nil {
		t.Error("nothing of the process itself")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	for _, line := range []string{
		`samara_swarm_origin_ratio{image="debian:1"} 1.03`, `samara_swarm_nodes{image="debian:1",state="fetching"} 2`,
		`samara_swarm_controller_sent_bytes_total{controller="head",image="debian:1"} 1030`,
		`samara_swarm_controller_copied_bytes_total{controller="head",image="debian:1"} 2000`,
		`samara_swarm_faults{address="10.1.0.11",fault="corrupt",node="n1"} 3`, `samara_swarm_rack_nodes{image="debian:1",rack="r\"1\\\n"} 3`,
		`samara_raft_leading 1`, `samara_nodes{state="unseen"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("want the line %s", line)
		}
	}
	if strings.Contains(text, canary) {
		t.Error("metrics tell a secret")
	}
}

// documented returns the families in the table of docs/metrics.md.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(samara_[a-z_]+)` \\| (gauge|counter) \\| ([a-z, `]*) \\|").FindAllStringSubmatch(string(text), -1) {
		labels := strings.Split(strings.ReplaceAll(row[3], "`", ""), ", ")
		slices.Sort(labels)
		all = append(all, fmt.Sprintf("%s %s {%s}", row[1], row[2], strings.TrimSpace(strings.Join(labels, ", "))))
	}
	slices.Sort(all)
	return all
}

func TestSeriesAreBounded(t *testing.T) {
	rig := busy(t)
	for i := range 2 * maxSwarmSeries {
		propose(t, rig.memory, fleet.AddImageVersion{Image: fmt.Sprintf("image%d", i%4), Holders: []string{"head"},
			Version: fleet.ImageVersion{Root: blob(1), Torrent: blob(2), Kernel: blob(3), Initramfs: blob(4), Arch: "amd64"}})
	}
	for i := range 2 * maxRackSeries {
		rig.swarm.Racks = append(rig.swarm.Racks, SwarmRack{Name: fmt.Sprintf("r%d", i), Nodes: 1})
		f := suspect("")
		f.Peer = netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
		rig.faults = append(rig.faults, f)
	}
	text, err := rig.server.expose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for line, most := range map[string]int{"\nsamara_swarm_size_bytes{": maxSwarmSeries, "\nsamara_swarm_rack_nodes{": maxSwarmSeries * maxRackSeries, "\nsamara_swarm_faults{": maxSuspectSeries} {
		if n := bytes.Count(text, []byte(line)); n != most {
			t.Errorf("%d series of %s, want %d", n, strings.TrimSpace(line), most)
		}
	}
	for _, newest := range []string{"image0:32", "image3:32", "debian:1"} {
		if !bytes.Contains(text, []byte(`image="`+newest+`"`)) {
			t.Errorf("%s is not measured", newest)
		}
	}
}

func TestMetricsInClear(t *testing.T) {
	rig := busy(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rig.server.ServeMetrics(ctx, l) }()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	base := "http://" + l.Addr().String()
	if text := scrape(t, client.Get, base+MetricsPath); !strings.Contains(text, "samara_swarm_origin_ratio") {
		t.Errorf("got %s", text)
	}
	for _, path := range []string{"/", "/v1/status", "/v1/nodes", "/debug/pprof/"} {
		resp, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s in clear: %s, want 404", path, resp.Status)
		}
	}
	resp, err := client.Post(base+MetricsPath, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST %s: %s", MetricsPath, resp.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMetricsOfAMomentAreMeasuredOnce(t *testing.T) {
	now := time.Now()
	rig := busy(t, func(c *Config) { c.Now = func() time.Time { return now } })
	first, err := rig.server.metrics(t.Context(), nil, none{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := rig.server.metrics(t.Context(), nil, none{})
	if err != nil || &first[0] != &second[0] {
		t.Errorf("measured twice in a moment; %v", err)
	}
	now = now.Add(metricsFresh)
	if later, err := rig.server.metrics(t.Context(), nil, none{}); err != nil || &first[0] == &later[0] {
		t.Errorf("not measured anew after %s; %v", metricsFresh, err)
	}
}
