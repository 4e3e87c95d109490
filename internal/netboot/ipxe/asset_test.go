package ipxe

import (
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
)

// FuzzParseAsset holds for any tag: what iPXE makes of its bytes comes back, but for blanks around it and tags that are
// too long; and for any URL: what comes back is bounded.
func FuzzParseAsset(f *testing.F) {
	for _, s := range []string{"", "CZ1234", " CZ 12&7 ", "#?%+é\x00", "${uuid}", strings.Repeat("x", maxAsset), strings.Repeat("x", maxAsset+1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		var pairs []string
		for _, b := range []byte(tag) {
			pairs = append(pairs, hex.EncodeToString([]byte{b}))
		}
		query, err := url.ParseQuery("asset=" + strings.Join(pairs, "-"))
		if err != nil {
			t.Fatal(err)
		}
		got, asked, err := ParseAsset(query)
		if want := strings.Trim(tag, " \t\x00"); !asked || (err == nil) != (len(tag) <= maxAsset) || err == nil && got != want {
			t.Errorf("tag %q: got %q, %t, %v", tag, got, asked, err)
		}
		if got, asked, _ := ParseAsset(url.Values{"asset": {tag}}); !asked || len(got) > len(tag)/2 {
			t.Errorf("parameter %q: got %q, %t", tag, got, asked)
		}
	})
}
