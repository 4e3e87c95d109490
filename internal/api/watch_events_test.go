package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// An event is one of those that a server sends.
type event struct {
	id   string
	line WatchLine
}

// readEvents asks for a watch as a browser does, and returns its first events.
func readEvents(t *testing.T, c *Client, path, last string, count int) []event {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.targets[0].base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html, text/event-stream;q=0.9")
	if last != "" {
		r.Header.Set(lastEventHeader, last)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %s, want events", path, resp.Status, kind)
	}
	var all []event
	var now event
	for lines := bufio.NewScanner(resp.Body); len(all) < count && lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			now.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &now.line); err != nil {
				t.Fatal(err)
			}
		case "":
			all = append(all, now)
			now = event{}
		default:
			t.Fatalf("line %q is of no event", lines.Text())
		}
	}
	if len(all) < count {
		t.Fatalf("GET %s: %d events, want %d", path, len(all), count)
	}
	return all
}

func TestAWatchInEvents(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	setRack(t, rig.memory, "r1")
	setRack(t, rig.memory, "r2")
	all := readEvents(t, c, "/v1/watch?after=3", "", 2)
	if all[0].id != "3" || len(all[0].line.Changed) != 0 {
		t.Errorf("the first event is %+v, want revision 3 and nothing else", all[0])
	}
	if all[1].id != "5" || len(all[1].line.Changed) != 1 || all[1].line.Changed[0].Fields[0].Is != "r2" {
		t.Errorf("the second event is %+v, want revision 5 and rack r2", all[1])
	}
	again := readEvents(t, c, "/v1/watch?after=3", "4", 2)
	if again[0].id != "4" || again[1].line.Changed[0].Fields[0].Was != "r1" {
		t.Errorf("a browser that has seen revision 4: %+v, want what came after it", again)
	}
}
