package main

import (
	"strings"
	"testing"
)

func TestByteRate(t *testing.T) {
	for text, want := range map[string]struct {
		bytes int64
		text  string
	}{
		"none":      {0, "none"},
		"0":         {0, "none"},
		"500MB":     {500e6, "500 MB/s (4 Gbit/s)"},
		"500 MB/s":  {500e6, "500 MB/s (4 Gbit/s)"},
		"500mb":     {500e6, "500 MB/s (4 Gbit/s)"},
		"1Gbit":     {125e6, "125 MB/s (1 Gbit/s)"},
		"2.5Gbit/s": {312.5e6, "312 MB/s (2.5 Gbit/s)"},
		"100kB":     {100e3, "100 kB/s (800 kbit/s)"},
		"64kbit":    {8e3, "8.0 kB/s (64 kbit/s)"},
	} {
		var r byteRate
		if err := r.Set(text); err != nil || int64(r) != want.bytes || r.String() != want.text {
			t.Errorf("%q: %d, %q, %v; want %d, %q", text, r, r.String(), err, want.bytes, want.text)
		}
	}
	for text, want := range map[string]string{
		"":                             "want a number and a unit",
		"fast":                         "want a number and a unit",
		"-5MB":                         "want a number and a unit",
		"0x5MB":                        "want a number and a unit",
		"NaN":                          "want a number and a unit",
		"1G":                           "bytes or bits? say 1GB or 1Gbit",
		"5":                            "of what? say 5MB or 5Mbit",
		"5MiB":                         "want kB, MB, GB",
		strings.Repeat("9", 30) + "GB": "want kB, MB, GB",
	} {
		var r byteRate
		if err := r.Set(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
