package seeder

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"

	"github.com/samara-hpc/samara/seeder/handout"
)

func memberAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7602)
}

// A trackerRig is a tracker with one torrent, whose origin is 10.0.0.0:7602, in a time of its own.
type trackerRig struct {
	*Tracker
	hash    Hash
	members []handout.Member
	now     time.Time
}

func newTrackerRig() *trackerRig {
	r := &trackerRig{
		hash:    Hash{0: 'a', 1: '+', 2: '%', 3: '&', 19: 0xff},
		members: []handout.Member{{Name: "c1", Addr: memberAddr(0), Holding: handout.HoldsAll, Alive: true, Origin: true}},
		now:     time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
	r.Tracker = NewTracker(TrackerConfig{
		Members: func(h Hash) []handout.Member {
			if h != r.hash {
				return nil
			}
			return r.members
		},
		Now: func() time.Time { return r.now },
	})
	return r
}

// escape escapes every byte that RFC 3986 does not call unreserved, but for '+', as some clients do.
func escape(b []byte) string {
	return strings.ReplaceAll(url.PathEscape(string(b)), "&", "%26")
}

func (r *trackerRig) query(port int, more string) string {
	return fmt.Sprintf("info_hash=%s&peer_id=-XX0001-%012d&port=%d&uploaded=0&downloaded=0&ip=9.9.9.9%s", escape(r.hash[:]), port, port, more)
}

type trackerAnswer struct {
	Failure    string        `bencode:"failure reason"`
	Complete   int           `bencode:"complete"`
	Incomplete int           `bencode:"incomplete"`
	Interval   int           `bencode:"interval"`
	Peers      bencode.Bytes `bencode:"peers"`
}

// ask announces from an address and returns the answer and its compact peers.
func (r *trackerRig) ask(t *testing.T, from, query string) (trackerAnswer, []netip.AddrPort) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/announce", nil)
	req.URL.RawQuery = query
	req.RemoteAddr = from
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	var a trackerAnswer
	if err := bencode.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: status %d, body %q: %v", query, w.Code, w.Body, err)
	}
	var peers []netip.AddrPort
	var compact string
	if bencode.Unmarshal(a.Peers, &compact) == nil {
		for b := []byte(compact); len(b) >= 6; b = b[6:] {
			peers = append(peers, netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), uint16(b[4])<<8|uint16(b[5])))
		}
	}
	return a, peers
}

func TestTrackerIntroducesClients(t *testing.T) {
	r := newTrackerRig()
	_, peers := r.ask(t, "10.9.0.1:4000", r.query(51413, "&left=1000&event=started&compact=1"))
	if want := []netip.AddrPort{memberAddr(0)}; fmt.Sprint(peers) != fmt.Sprint(want) {
		t.Errorf("the first client is told %v, want the origin, %v", peers, want)
	}
	a, peers := r.ask(t, "[::ffff:10.9.0.2]:4000", r.query(6881, "&left=1000&compact=1"))
	if got, want := fmt.Sprint(peers), "[10.0.0.0:7602 10.9.0.1:51413]"; got != want {
		t.Errorf("the second client is told %s, want %s", got, want)
	}
	if a.Complete != 1 || a.Incomplete != 1 || a.Interval != 60 {
		t.Errorf("got %d complete, %d incomplete, interval %d", a.Complete, a.Incomplete, a.Interval)
	}
	_, _ = r.ask(t, "10.9.0.1:4000", r.query(51413, "&left=0&event=completed"))
	a, peers = r.ask(t, "10.9.0.3:4000", r.query(6881, "&left=0"))
	if got, want := fmt.Sprint(peers), "[10.9.0.2:6881]"; got != want || a.Complete != 2 {
		t.Errorf("a seed is told %s and %d complete, want %s and 2", got, a.Complete, want)
	}
	_, _ = r.ask(t, "10.9.0.2:4000", r.query(6881, "&left=1&event=stopped"))
	if _, peers = r.ask(t, "10.9.0.3:4000", r.query(6881, "&left=0")); len(peers) != 0 {
		t.Errorf("after the only other leecher stopped a seed is told %v", peers)
	}
}

func TestTrackerForgetsWhoStaysAway(t *testing.T) {
	r := newTrackerRig()
	_, _ = r.ask(t, "10.9.0.1:4000", r.query(51413, "&left=1000"))
	r.now = r.now.Add(2*time.Minute - 1)
	if _, peers := r.ask(t, "10.9.0.2:4000", r.query(6881, "&left=1000")); len(peers) != 2 {
		t.Errorf("before two intervals have passed: got %v, want the origin and the client", peers)
	}
	r.now = r.now.Add(1)
	if _, peers := r.ask(t, "10.9.0.2:4000", r.query(6881, "&left=1000")); len(peers) != 1 {
		t.Errorf("after two intervals: got %v, want the origin only", peers)
	}
	r.now = r.now.Add(time.Hour)
	_, _ = r.ask(t, "10.9.0.4:4000", r.query(6881, "&left=1&event=stopped"))
	if r.count != 0 || len(r.known) != 0 {
		t.Errorf("%d announcers of %d torrents are still remembered", r.count, len(r.known))
	}
}

func TestTrackerHonoursNumWant(t *testing.T) {
	r := newTrackerRig()
	for i := 1; i < 200; i++ {
		r.members = append(r.members, handout.Member{Name: fmt.Sprint(i), Addr: memberAddr(i), Holding: handout.HoldsSome, Alive: i%2 == 0})
	}
	for want, ask := range map[int]string{0: "&numwant=0", 7: "&numwant=7", 30: "", 50: "&numwant=1000"} {
		a, peers := r.ask(t, "10.9.0.1:4000", r.query(6881, "&left=1"+ask))
		if len(peers) != want || a.Complete != 1 || a.Incomplete < 99 {
			t.Errorf("%q: got %d peers of %d + %d, want %d", ask, len(peers), a.Complete, a.Incomplete, want)
		}
	}
	if _, peers := r.ask(t, "10.9.0.1:4000", r.query(6881, "&left=1&numwant=-1")); len(peers) != defaultNumWant {
		t.Errorf("numwant=-1: got %d peers, want %d", len(peers), defaultNumWant)
	}
}

func TestTrackerAnswersInTheLongForm(t *testing.T) {
	r := newTrackerRig()
	_, _ = r.ask(t, "10.9.0.1:4000", r.query(51413, "&left=1000"))
	for form, want := range map[string]string{
		"&compact=0":              "ld2:ip8:10.0.0.04:porti7602eed2:ip8:10.9.0.17:peer id20:-XX0001-0000000514134:porti51413eee",
		"&compact=0&no_peer_id=1": "ld2:ip8:10.0.0.04:porti7602eed2:ip8:10.9.0.14:porti51413eee",
	} {
		if a, _ := r.ask(t, "10.9.0.2:4000", r.query(6881, "&left=1"+form)); string(a.Peers) != want {
			t.Errorf("%s: got %q, want %q", form, a.Peers, want)
		}
	}
}

func TestTrackerRefusesWithAReason(t *testing.T) {
	r := newTrackerRig()
	good := r.query(6881, "")
	for query, want := range map[string]string{
		strings.Replace(good, "info_hash=a", "info_hash=b", 1): "is not served here",
		"":                                       "info_hash must be 20 bytes",
		"info_hash=abc":                          "info_hash must be 20 bytes",
		good + "&info_hash=aaaaaaaaaaaaaaaaaaaa": "only one info_hash",
		good + "&peer_id=x":                      "peer_id must be 20 bytes",
		good + "&port=0":                         "port must be",
		good + "&port=70000":                     "port is not a number",
		good + "&left=many":                      "left is not a number",
		good + "&x=%zz":                          "badly escaped",
		good + strings.Repeat("&a=b", 1000):      "at most 2048",
	} {
		if a, _ := r.ask(t, "10.9.0.1:4000", query); !strings.Contains(a.Failure, want) {
			t.Errorf("%.80q: got failure %q, want one with %q", query, a.Failure, want)
		}
	}
	if r.count != 0 {
		t.Errorf("%d refused announcers are remembered", r.count)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/announce", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got status %d, want %d", w.Code, http.StatusMethodNotAllowed)
	}
}

func TestTrackerAnswersMembersOfTheClusterOnly(t *testing.T) {
	r := newTrackerRig()
	r.allow = func(a netip.Addr) bool { return a == netip.MustParseAddr("10.9.0.1") }
	if a, peers := r.ask(t, "[::ffff:10.9.0.1]:4000", r.query(6881, "&left=1")); a.Failure != "" || len(peers) != 1 {
		t.Errorf("a member: got failure %q, peers %v", a.Failure, peers)
	}
	a, peers := r.ask(t, "10.9.0.2:4000", r.query(6881, "&left=1"))
	if want := "10.9.0.2 is the address of no node"; !strings.Contains(a.Failure, want) || len(peers) != 0 {
		t.Errorf("a stranger: got failure %q, peers %v, want %q", a.Failure, peers, want)
	}
	if r.count != 1 {
		t.Errorf("%d announcers are remembered, want the member alone", r.count)
	}
}

func TestTrackerNamesNoSuspects(t *testing.T) {
	r := newTrackerRig()
	r.members = append(r.members, handout.Member{Name: "bad", Addr: memberAddr(1), Holding: handout.HoldsAll, Alive: true, Suspect: true})
	if _, peers := r.ask(t, "10.9.0.1:4000", r.query(6881, "&left=1")); fmt.Sprint(peers) != fmt.Sprint([]netip.AddrPort{memberAddr(0)}) {
		t.Errorf("got %v, want the origin alone", peers)
	}
}

func TestTrackerRemembersABoundedNumber(t *testing.T) {
	r := newTrackerRig()
	for i := range maxAnnouncersEach + 50 {
		from := memberAddr(4096+i).Addr().String() + ":4000"
		if _, peers := r.ask(t, from, r.query(6881, "&left=1")); len(peers) == 0 {
			t.Fatalf("client %d is told of nobody", i)
		}
	}
	if r.count != maxAnnouncersEach {
		t.Errorf("%d announcers are remembered, want %d", r.count, maxAnnouncersEach)
	}
}

func FuzzParseAnnounce(f *testing.F) {
	r := newTrackerRig()
	f.Add(r.query(6881, "&left=1&numwant=20&compact=1&event=started&key=7"))
	f.Add("info_hash=%00&peer_id=&port=-1")
	f.Add("&&==%")
	f.Fuzz(func(t *testing.T, query string) {
		a, err := parseAnnounce(query)
		if err == nil && (a.port == 0 || a.numWant < 0 || a.numWant > maxNumWant) {
			t.Errorf("%q is taken for %+v", query, a)
		}
		body, err := r.answer(query, "10.9.0.1:4000")
		if (err == nil) == (len(body) == 0) || err == nil && !bytes.HasPrefix(body, []byte("d8:complete")) {
			t.Errorf("%q: got %q, %v", query, body, err)
		}
	})
}
