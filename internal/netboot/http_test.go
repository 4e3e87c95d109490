package netboot

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

// web serves the routes of a server with that configuration over loopback TCP.
func web(t *testing.T, c Config) (*Server, string) {
	t.Helper()
	s := open(t, c)
	h := httptest.NewServer(s.handler())
	t.Cleanup(h.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, h.URL
}

func do(t *testing.T, method, url string, header ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestScriptRoute(t *testing.T) {
	three := testState(t, 3)
	ofThree := func(live ...int) func(*Config) {
		return func(c *Config) {
			c.State = func() fleet.State { return three }
			all := controllersAt([4]byte{10, 1, 0, 1}, 3)
			c.Live = func() (cs []fleet.Controller) {
				for _, i := range live {
					cs = append(cs, all[i-1])
				}
				return cs
			}
		}
	}
	broken := errors.New("blob 040000000000: /var/lib/x is corrupt at byte 4096")
	without := func(b byte, err error) func(fleet.Digest) (Blob, error) {
		return func(d fleet.Digest) (Blob, error) {
			if d[0] == b {
				return nil, err
			}
			return memory(d)
		}
	}
	const missing = "image debian:1: blob 040000000000"
	keyed := withAssetKey(t, three, "CZ 12&7")
	wantsKey := func(c *Config) { c.State = func() fleet.State { return keyed } }
	shows := func(tag string) string { return nodeMAC.String() + "?asset=" + tag }
	const another = `node n1 wants another asset key than "CZ", the asset tag of this machine; if it is n1 all the same: samara node set n1 --asset TAG`
	const noTag = "node n1 wants an asset key, and this machine has no asset tag; write one with its firmware's setup, or samara node unset n1 --asset"
	type scriptCase struct {
		change func(*Config)
		path   string // behind /boot/
		want   []string
		not    []string
		saw    string
	}
	cases := map[string]scriptCase{
		"node":                   {nil, nodeMAC.String(), []string{"#!ipxe\n", "image debian:1", "samara.boot=" + testToken, "samara.ctl=127.0.0.1:7600 "}, nil, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"node, with hyphens":     {nil, "52-54-00-00-00-01", []string{"samara.boot=" + testToken}, nil, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"fallback controllers":   {ofThree(1, 2, 3), nodeMAC.String(), []string{"samara.ctl=127.0.0.1:7600,10.1.0.3:7600,10.1.0.2:7600 ", "|| kernel --timeout 10000 --name vmlinuz http://10.1.0.2:7601/"}, []string{"10.1.0.1:"}, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"one controller is dead": {ofThree(1, 2), nodeMAC.String(), []string{"samara.ctl=127.0.0.1:7600,10.1.0.2:7600,10.1.0.3:7600 ", "|| kernel --timeout 10000 --name vmlinuz http://10.1.0.2:7601/"}, []string{"10.1.0.3:7601"}, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"alone, it seems":        {ofThree(), nodeMAC.String(), []string{"samara.ctl=127.0.0.1:7600,10.1.0.3:7600,10.1.0.2:7600 ", "|| kernel --timeout 10000 --name vmlinuz http://10.1.0.2:7601/"}, nil, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"node without an image":  {nil, bareMAC.String(), []string{"#!ipxe\n", "node n2: image not found: it has none", "goto retry"}, []string{"samara.boot"}, bareMAC.String() + " refused: node n2: image not found: it has none; samara node set n2 --image NAME"},
		"unknown machine":        {nil, alienMAC.String(), []string{"#!ipxe\n", "52:54:00:00:00:63 is the MAC address of no node of cluster test", "samara node add"}, []string{"samara.boot"}, "unknown 52:54:00:00:00:63 from http 127.0.0.1"},
		"blob is not here":       {func(c *Config) { c.Blob = without(4, fs.ErrNotExist) }, nodeMAC.String(), []string{missing, "goto retry"}, []string{"samara.boot"}, nodeMAC.String() + " refused: node n1: " + missing + ": file does not exist"},
		"blob is corrupt":        {func(c *Config) { c.Blob = without(4, broken) }, nodeMAC.String(), []string{"is corrupt at byte 4096", "goto retry"}, []string{"samara.boot"}, nodeMAC.String() + " refused: node n1: " + missing + ": " + broken.Error()},
		"blob may be elsewhere":  {func(c *Config) { c.State, c.Blob = func() fleet.State { return three }, without(4, fs.ErrNotExist) }, nodeMAC.String(), []string{"\nkernel --timeout 10000 --name vmlinuz http://10.1.0.3:7601/", "|| kernel --timeout 10000 --name vmlinuz http://127.0.0.1:"}, nil, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"no token to be had":     {func(c *Config) { c.Token = func(fleet.BootPlan) (string, string, error) { return "", "", broken } }, nodeMAC.String(), []string{"node n1: blob 040000000000: /var/lib/x", "goto retry"}, []string{"samara.boot"}, nodeMAC.String() + " refused: node n1: " + broken.Error()},
	}
	for name, c := range map[string]struct{ shown, says, saw string }{
		"the right tag":        {"43-5a-20-31-32-26-37", "samara.boot=" + testToken, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"padded by firmware":   {"20-43-5A-20-31-32-26-37-20-20", "samara.boot=" + testToken, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"without hyphens":      {"435a2031322637", "samara.boot=" + testToken, `52:54:00:00:00:01 "boot-1" script debian:1`},
		"a part of the tag":    {"43-5a", another, nodeMAC.String() + " refused: " + another},
		"no tag":               {"", noTag, nodeMAC.String() + " refused: " + noTag},
		"a blank tag":          {"20-20-00", noTag, nodeMAC.String() + " refused: " + noTag},
		"what iPXE never says": {"CZ%2012", `node n1: bad asset tag "CZ 12": want hexadecimal digits`, nodeMAC.String() + ` refused: node n1: bad asset tag "CZ 12": want hexadecimal digits`},
		"too long":             {strings.Repeat("41-", 257) + "41", "node n1: bad asset tag: more than 256 bytes", nodeMAC.String() + " refused: node n1: bad asset tag: more than 256 bytes"},
	} {
		not := []string{"CZ 12&7"}
		if !strings.Contains(c.says, testToken) {
			not = append(not, "samara.boot")
		}
		cases["asset key, "+name] = scriptCase{wantsKey, shows(c.shown), []string{c.says}, not, c.saw}
	}
	cases["asset key, not asked yet"] = scriptCase{wantsKey, nodeMAC.String(), []string{"/boot/52-54-00-00-00-01?asset=${asset:hexhyp} ||"}, []string{"samara.boot", "CZ"}, ""}
	cases["asset key, no image either"] = scriptCase{func(c *Config) { c.State = func() fleet.State { return withAssetKey(t, three, "K") } }, bareMAC.String(), []string{"it has none"}, []string{"asset"}, bareMAC.String() + " refused: node n2: image not found: it has none; samara node set n2 --image NAME"}
	cases["a tag that nobody wants"] = scriptCase{nil, shows("43-5a"), []string{"samara.boot=" + testToken}, nil, `52:54:00:00:00:01 "boot-1" script debian:1`}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWitness()
			config := testConfig(t, w)
			if c.change != nil {
				c.change(&config)
			}
			_, url := web(t, config)
			resp, body, err := do(t, http.MethodGet, url+"/boot/"+c.path)
			if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("got %s, %v, %v", resp.Status, resp.Header, err)
			}
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("want %q in:\n%s", want, body)
				}
			}
			for _, not := range c.not {
				if strings.Contains(body, not) {
					t.Errorf("want no %q in:\n%s", not, body)
				}
			}
			w.await(t, c.saw)
		})
	}
}

func TestHeadMintsNoToken(t *testing.T) {
	w := newWitness()
	c := testConfig(t, w)
	c.Token = func(fleet.BootPlan) (string, string, error) { t.Error("a token was minted"); return "", "", nil }
	_, url := web(t, c)
	if resp, _, err := do(t, http.MethodHead, url+"/boot/"+nodeMAC.String()); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("got %s, %v", resp.Status, err)
	}
}

func TestBlobRoute(t *testing.T) {
	name := blobOf(3, nil).Digest.String()
	for test, c := range map[string]struct {
		method, path string
		header       []string
		status       int
		body         string
		saw          bool
	}{
		"whole":              {"GET", "/blob/" + name, nil, 200, string(kernel), true},
		"first part":         {"GET", "/blob/" + name, []string{"Range", "bytes=0-99"}, 206, string(kernel[:100]), false},
		"the rest":           {"GET", "/blob/" + name, []string{"Range", "bytes=100-"}, 206, string(kernel[100:]), true},
		"if range holds":     {"GET", "/blob/" + name, []string{"Range", "bytes=8-15", "If-Range", `"` + name + `"`}, 206, "kernel--", false},
		"beyond the end":     {"GET", "/blob/" + name, []string{"Range", "bytes=9999999-"}, 416, "", false},
		"already had":        {"GET", "/blob/" + name, []string{"If-None-Match", `"` + name + `"`}, 304, "", false},
		"head":               {"HEAD", "/blob/" + name, nil, 200, "", false},
		"a root file system": {"GET", "/blob/" + blobOf(1, nil).Digest.String(), nil, 404, "", false},
		"no blob":            {"GET", "/blob/" + blobOf(9, nil).Digest.String(), nil, 404, "", false},
		"no digest":          {"GET", "/blob/xyz", nil, 400, "", false},
		"posted":             {"POST", "/blob/" + name, nil, 405, "", false},
	} {
		for where, memory := range map[string]int64{"memory": 1 << 40, "store": 0} {
			t.Run(test+" from the "+where, func(t *testing.T) {
				w := newWitness()
				s, url := web(t, testConfig(t, w))
				s.shelf.available = func() int64 { return memory }
				// The machine at loopback is the one that asked for its script from there.
				s.boots.script(localMAC, "boot-9", addressOf("127.0.0.1:1"))
				resp, body, err := do(t, c.method, url+c.path, c.header...)
				if err != nil || resp.StatusCode != c.status {
					t.Fatalf("got %s, %v; want %d", resp.Status, err, c.status)
				}
				if (c.status == 200 || c.status == 206) && body != c.body {
					t.Errorf("got %d bytes, want %d", len(body), len(c.body))
				}
				if c.status < 300 && (resp.Header.Get("ETag") != `"`+name+`"` || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable")) {
					t.Errorf("got headers %v", resp.Header)
				}
				want := ""
				if c.saw {
					want = `52:54:00:00:00:04 "boot-9" kernel blob ` + name[:12]
				}
				w.await(t, want)
			})
		}
	}
}

func TestCorruptBlobIsCutOff(t *testing.T) {
	for name, until := range map[string]int64{"at its first byte": 0, "in the middle": 40_000} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			w := newWitness()
			c := testConfig(t, w)
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c.Blob = func(fleet.Digest) (Blob, error) {
				return &memoryBlob{bytes.NewReader(kernel), until, errors.New("the file is corrupt; samara image import it again")}, nil
			}
			s := open(t, c)
			h := httptest.NewServer(s.handler())
			s.boots.script(localMAC, "boot-9", addressOf("127.0.0.1:1"))
			_, body, err := do(t, http.MethodGet, h.URL+"/blob/"+blobOf(3, nil).Digest.String())
			h.Close() // the handler has ended, and said what it has to say
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got error %v with %d bytes, want an unexpected end", err, len(body))
			}
			if !bytes.HasPrefix(kernel, []byte(body)) || int64(len(body)) > until {
				t.Errorf("got %d bytes that are not the blob's first", len(body))
			}
			if !strings.Contains(log.String(), "samara image import it again") {
				t.Errorf("the log does not say why:\n%s", log.String())
			}
			if got := s.Counters().HTTPFailed; got != 1 || w.all() != "" {
				t.Errorf("%d failures counted, want 1; observed %q", got, w.all())
			}
		})
	}
}

func TestLoaderRoute(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		status int
		body   string
		kind   string
		saw    string
	}{
		"UEFI":      {"snponly.efi", 200, string(debianFiles()["snponly.efi"]), "application/efi", `52:54:00:00:00:04 "boot-9" loader snponly.efi by HTTP`},
		"BIOS":      {"undionly.kpxe", 200, "bios loader", "application/octet-stream", `52:54:00:00:00:04 "boot-9" loader undionly.kpxe by HTTP`},
		"autoexec":  {"autoexec.ipxe", 200, "", "text/plain; charset=utf-8", ""},
		"not there": {"snponly-arm64.efi", 404, "", "text/plain; charset=utf-8", ""},
		"a path":    {"..%2f..%2fetc%2fpasswd", 404, "", "text/plain; charset=utf-8", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWitness()
			s, url := web(t, testConfig(t, w))
			s.boots.script(localMAC, "boot-9", addressOf("127.0.0.1:1"))
			s.boots.byMAC[localMAC].reached = fleet.PhaseDHCP.Order()
			resp, body, err := do(t, http.MethodGet, url+"/loader/"+c.path)
			if err != nil || resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.kind {
				t.Fatalf("got %s, %s, %v", resp.Status, resp.Header.Get("Content-Type"), err)
			}
			if c.body != "" && body != c.body {
				t.Errorf("got %q", body)
			}
			w.await(t, c.saw)
		})
	}
}

func TestTrackerIsMounted(t *testing.T) {
	c := testConfig(t, newWitness())
	_, url := web(t, c)
	if resp, _, _ := do(t, http.MethodGet, url+"/announce"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("without a tracker: got %s", resp.Status)
	}
	c.Tracker = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.RawQuery) })
	_, url = web(t, c)
	if _, body, _ := do(t, http.MethodGet, url+"/announce?info_hash=x"); body != "info_hash=x" {
		t.Errorf("got %q", body)
	}
}

// FuzzRoutes holds for any request line: no panic, no token but for a node's script, no blob but a bootable one.
func FuzzRoutes(f *testing.F) {
	for _, path := range []string{"/boot/" + nodeMAC.String(), "/boot/52-54-00-00-00-01", "/boot/", "/blob/" + blobOf(1, nil).Digest.String(),
		"/blob/../blob/x", "/loader/snponly.efi", "/loader/%2e%2e/x", "/announce?x", "//", "/boot/%00", "*"} {
		f.Add("GET", path, "bytes=0-1")
		f.Add("HEAD", path, "bytes=-5,0-0,9-")
	}
	s := open(f, testConfig(f, newWitness()))
	h := s.handler()
	root := "/blob/" + blobOf(1, nil).Digest.String()
	f.Fuzz(func(t *testing.T, method, path, ranges string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://x"+path, nil)
		if err != nil {
			return
		}
		req.RemoteAddr = "10.1.0.11:1"
		req.Header.Set("Range", ranges)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		body := rec.Body.String()
		if strings.Contains(body, testToken) && !strings.HasPrefix(req.URL.Path, "/boot/52") {
			t.Errorf("%s %q got a token", method, path)
		}
		if req.URL.Path == root && rec.Code == http.StatusOK {
			t.Errorf("%s %q got an image's root", method, path)
		}
	})
}
