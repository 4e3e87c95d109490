package config

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestCount(t *testing.T) {
	for phrase, c := range map[string]struct {
		first   string
		n       int
		within  string // "": not known
		without string
		want    string // "": refused
	}{
		"one":                           {"10.1.0.5", 1, "10.1.0.0/24", "", "[10.1.0.5]"},
		"some":                          {"10.1.0.5", 3, "10.1.0.0/24", "", "[10.1.0.5 10.1.0.6 10.1.0.7]"},
		"over the end of a byte":        {"10.1.0.254", 4, "10.1.0.0/16", "", "[10.1.0.254 10.1.0.255 10.1.1.0 10.1.1.1]"},
		"up to the last":                {"10.1.0.253", 2, "10.1.0.0/24", "", "[10.1.0.253 10.1.0.254]"},
		"past the last":                 {"10.1.0.253", 3, "10.1.0.0/24", "", ""},
		"past the last but for a gap":   {"10.1.0.252", 3, "10.1.0.0/24", "10.1.0.253", ""},
		"over a router":                 {"10.1.0.5", 3, "10.1.0.0/24", "10.1.0.6", "[10.1.0.5 10.1.0.7 10.1.0.8]"},
		"the network's own address":     {"10.1.0.0", 2, "10.1.0.0/24", "", ""},
		"the broadcast address":         {"10.1.0.255", 1, "10.1.0.0/24", "", ""},
		"outside":                       {"10.2.0.1", 1, "10.1.0.0/24", "", ""},
		"a mask with the address":       {"10.1.0.5", 2, "10.1.0.9/24", "", "[10.1.0.5 10.1.0.6]"},
		"between two machines":          {"10.1.0.0", 2, "10.1.0.0/31", "", "[10.1.0.0 10.1.0.1]"},
		"a small network":               {"10.1.0.5", 2, "10.1.0.4/30", "", "[10.1.0.5 10.1.0.6]"},
		"an unknown network":            {"10.1.0.253", 4, "", "", "[10.1.0.253 10.1.0.254 10.1.1.1 10.1.1.2]"},
		"an unknown one over a router":  {"10.1.0.254", 2, "", "10.1.1.1", "[10.1.0.254 10.1.1.2]"},
		"the end of all addresses":      {"255.255.255.254", 2, "", "", ""},
		"IPv6":                          {"fd00::fe", 3, "", "", "[fd00::fe fd00::ff fd00::100]"},
		"IPv6 past the last":            {"fd00::fe", 3, "fd00::/120", "", ""},
		"the end of all IPv6 addresses": {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2, "", "", ""},
	} {
		t.Run(phrase, func(t *testing.T) {
			within, _ := netip.ParsePrefix(c.within)
			without, _ := netip.ParseAddr(c.without)
			got, err := Count(netip.MustParseAddr(c.first), c.n, within, without)
			if c.want == "" {
				if !errors.Is(err, fleet.ErrInvalid) {
					t.Fatalf("got %v, %v; want a refusal", got, err)
				}
				return
			}
			if err != nil || fmt.Sprint(got) != c.want {
				t.Errorf("got %v, %v; want %s", got, err, c.want)
			}
		})
	}
}
