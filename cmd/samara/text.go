package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

func quote(s string) string { return strconv.Quote(s) }

// cutScheme removes https:// and a closing slash.
func cutScheme(s string) (string, bool) {
	rest, ok := strings.CutPrefix(s, "https://")
	return strings.TrimSuffix(rest, "/"), ok
}

// printable replaces what could steer a terminal: machines that boot choose some of the text that people see.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// size writes a number of bytes for people, in powers of 1000 as disks and networks have them.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	for v >= 999.5 && unit < len(units)-1 {
		v /= 1000
		unit++
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %s", v, units[unit])
	}
	return fmt.Sprintf("%.0f %s", v, units[unit])
}

// span writes a duration for people, in its two largest units.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// ago writes how long ago t was, or "-" for the zero time.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t)) + " ago"
}

// orDash returns s, or "-" for nothing, so that every cell of a table holds something.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
