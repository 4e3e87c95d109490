package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A byteRate is a flag for bytes per second, written in bytes or in bits, since people speak of transfers in the one and of links
// in the other. The zero value is no limit.
type byteRate int64

// rateUnits are what may follow a rate's number, without "/s", and their worth in bytes.
var rateUnits = [...]struct {
	name  string
	bytes float64
}{{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8}}

// noRate is how no limit is written.
const noRate = "none"

func (r *byteRate) Type() string { return "rate" }

func (r *byteRate) String() string {
	if *r == 0 {
		return noRate
	}
	return rateText(int64(*r))
}

// Set reads "500MB", "4Gbit", "2.5Gbit/s", or "none".
func (r *byteRate) Set(s string) error {
	if s == noRate || s == "0" {
		*r = 0
		return nil
	}
	text := strings.TrimSuffix(s, "/s")
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.TrimSpace(text[len(number):])
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v <= 0 || strings.ContainsAny(number, "xXpP_eE+") {
		return fmt.Errorf("bad rate %q; want a number and a unit, such as 500MB or 4Gbit, or none", s)
	}
	for _, u := range rateUnits {
		if !strings.EqualFold(unit, u.name) {
			continue
		}
		if v *= u.bytes; v > math.MaxInt64/16 {
			break
		}
		*r = byteRate(math.Round(v))
		return nil
	}
	switch {
	case len(unit) == 1 && strings.ContainsAny(unit, "kKmMgG"):
		return fmt.Errorf("bad rate %q: bytes or bits? say %s%sB or %s%sbit", s, number, unit, number, unit)
	case unit == "":
		return fmt.Errorf("bad rate %q: of what? say %sMB or %sMbit", s, number, number)
	}
	return fmt.Errorf("bad rate %q; want kB, MB, GB, kbit, Mbit or Gbit, all per second, or none", s)
}

// rateText writes bytes per second in bytes and in bits.
func rateText(bytesPerSecond int64) string {
	return fmt.Sprintf("%s/s (%s)", size(bytesPerSecond), bits(float64(bytesPerSecond)))
}
