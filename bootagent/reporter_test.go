package bootagent

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

func TestComplaintsOfWrongBytesLastAndComeFirst(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration, kind fleet.PeerFault, host byte) seeder.Fault {
		return seeder.Fault{Peer: netip.AddrFrom4([4]byte{10, 1, 0, host}), Kind: kind, Count: 2, Last: now.Add(-d)}
	}
	var faults []seeder.Fault // the latest first
	for i := range byte(fleet.MaxComplaints) {
		faults = append(faults, ago(time.Second, fleet.FaultStalled, 100+i))
	}
	faults = append(faults, ago(30*time.Second, fleet.FaultCorrupt, 1), ago(2*time.Minute, fleet.FaultFlood, 2),
		ago(59*time.Minute, fleet.FaultCorrupt, 3), ago(2*time.Hour, fleet.FaultCorrupt, 4))
	got := complaints(faults, now)
	var first []string
	for _, c := range got[:3] {
		first = append(first, fmt.Sprintf("%s of %s %s ago, %d times", c.Fault, c.Peer, c.Age, c.Count))
	}
	want := "corrupt of 10.1.0.1 30s ago, 2 times; corrupt of 10.1.0.3 59m0s ago, 2 times; stalled of 10.1.0.100 1s ago, 2 times"
	if strings.Join(first, "; ") != want || len(got) != fleet.MaxComplaints {
		t.Errorf("got %d complaints, %q first; want %d, %q", len(got), first, fleet.MaxComplaints, want)
	}
	if got := complaints(faults[fleet.MaxComplaints+1:fleet.MaxComplaints+2], now); len(got) != 0 {
		t.Errorf("a flood two minutes ago is told: %+v", got)
	}
}
