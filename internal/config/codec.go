package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config/yaml"
)

// A codec reads and writes the values of one type.
type codec struct {
	// read sets v, which is zero, to what n says. n is null only if it is the value of a name that a user chose. The error
	// says what is wrong and what was wanted.
	read func(n *yaml.Node, v reflect.Value) error
	// text returns v in the form that read reads, as a scalar of YAML.
	text func(v reflect.Value) string
	// list returns the same of each item; nil unless v is a list.
	list func(v reflect.Value) []string
	// empties is set if "" says something.
	empties bool
}

// codecOf returns the codec of a type.
func codecOf(t reflect.Type) (codec, error) {
	for _, known := range []struct {
		of    reflect.Type
		codec codec
	}{
		{reflect.TypeFor[netip.Addr](), typed("an address such as 10.1.0.5", parseAddress, netip.Addr.String)},
		{reflect.TypeFor[netip.Prefix](), typed("a subnet such as 10.1.0.0/16", netip.ParsePrefix, netip.Prefix.String)},
		{reflect.TypeFor[fleet.Netmask](), typed("a mask such as 255.255.0.0", fleet.ParseNetmask, fleet.Netmask.String)},
		{reflect.TypeFor[fleet.MAC](), typed("a MAC address such as 52:54:00:12:34:56", fleet.ParseMAC, fleet.MAC.String)},
		{reflect.TypeFor[fleet.ImageRef](), typed("NAME or NAME:VERSION", fleet.ParseImageRef, fleet.ImageRef.String)},
		{reflect.TypeFor[fleet.Range](), typed("a range such as 10.1.9.1-10.1.9.99", fleet.ParseRange, fleet.Range.String)},
		{reflect.TypeFor[time.Time](), typed("a time such as 2026-01-31T18:00:00Z", parseTime, formatTime)},
		{reflect.TypeFor[*bool](), codec{read: readBool, text: func(v reflect.Value) string { return strconv.FormatBool(v.Elem().Bool()) }}},
		{reflect.TypeFor[fleet.Secret](), secretCodec()},
		{reflect.TypeFor[fleet.Resource](), codec{read: readResource}},
		{reflect.TypeFor[[]string](), listOf("text", func(s string) (string, error) { return s, nil }, func(s string) string { return s })},
		{reflect.TypeFor[[]netip.Addr](), listOf("an address such as 10.1.0.5", parseAddress, netip.Addr.String)},
	} {
		if known.of == t {
			return known.codec, nil
		}
	}
	switch t.Kind() {
	case reflect.String:
		return codec{read: readText, text: func(v reflect.Value) string { return quote(v.String()) }}, nil
	case reflect.Int, reflect.Int64:
		return codec{read: readNumber, text: func(v reflect.Value) string { return strconv.FormatInt(v.Int(), 10) }}, nil
	}
	return codec{}, fmt.Errorf("values of type %s cannot be read", t)
}

// A mismatch says that something else is wanted.
func mismatch(n *yaml.Node, want string) error {
	return fmt.Errorf("%s where %s is wanted", describe(n), want)
}

// describe returns what n is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.Mapping:
		return "a mapping"
	case yaml.Sequence:
		return "a list"
	}
	return strconv.Quote(shorten(n.Text))
}

// shorten returns text, or its beginning if it is too long for a message.
func shorten(text string) string {
	if len(text) > 80 {
		return strings.ToValidUTF8(text[:80], "") + "…"
	}
	return text
}

// typed returns the codec of a type with a form as text.
func typed[T any](want string, parse func(string) (T, error), format func(T) string) codec {
	return codec{
		read: func(n *yaml.Node, v reflect.Value) error {
			got, err := parseScalar(n, want, parse)
			if err == nil {
				*v.Addr().Interface().(*T) = got
			}
			return err
		},
		text: func(v reflect.Value) string { return quote(format(v.Interface().(T))) },
	}
}

// parseScalar returns what parse makes of a scalar.
func parseScalar[T any](n *yaml.Node, want string, parse func(string) (T, error)) (T, error) {
	var none T
	if n.Kind != yaml.Scalar {
		return none, mismatch(n, want)
	}
	got, err := parse(n.Text)
	switch {
	case err == nil:
		return got, nil
	case errors.Is(err, fleet.ErrInvalid):
		return none, err // it says what was wanted
	}
	return none, mismatch(n, want)
}

// listOf returns the codec of a list of values with a form as text.
func listOf[T any](want string, parse func(string) (T, error), format func(T) string) codec {
	return codec{
		read: func(n *yaml.Node, v reflect.Value) error {
			if n.Kind == yaml.Scalar {
				return fmt.Errorf("%s where a list is wanted; write [%s]", describe(n), quote(shorten(n.Text)))
			}
			if n.Kind != yaml.Sequence {
				return mismatch(n, "a list")
			}
			all := make([]T, 0, len(n.Items))
			for i, item := range n.Items {
				if item.IsNull() {
					return fmt.Errorf("item %d is empty; want %s, in quotes if it is ~", i+1, want)
				}
				got, err := parseScalar(item, want, parse)
				if err != nil {
					return fmt.Errorf("item %d: %w", i+1, err)
				}
				all = append(all, got)
			}
			if len(all) > 0 {
				*v.Addr().Interface().(*[]T) = all
			}
			return nil
		},
		list: func(v reflect.Value) []string {
			var out []string
			for _, item := range v.Interface().([]T) {
				out = append(out, quote(format(item)))
			}
			return out
		},
	}
}

func secretCodec() codec {
	c := typed("text", func(s string) (fleet.Secret, error) { return fleet.Secret(s), nil }, func(fleet.Secret) string { return "" })
	c.empties = true // it clears what is set
	return c
}

func readText(n *yaml.Node, v reflect.Value) error {
	if n.Kind != yaml.Scalar {
		return mismatch(n, "text")
	}
	if !n.IsNull() {
		v.SetString(n.Text)
	}
	return nil
}

// readNumber reads decimal digits, in quotes or not: with a zero before them they would be octal to some and not to others.
func readNumber(n *yaml.Node, v reflect.Value) error {
	const want = "a number in decimal digits"
	if n.Kind != yaml.Scalar {
		return mismatch(n, want)
	}
	i, err := strconv.ParseInt(n.Text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && v.OverflowInt(i):
		return fmt.Errorf("%s is too large a number", describe(n))
	case err != nil || strconv.FormatInt(i, 10) != n.Text:
		return mismatch(n, want)
	}
	v.SetInt(i)
	return nil
}

func readBool(n *yaml.Node, v reflect.Value) error {
	var is bool
	switch strings.ToLower(n.Text) {
	case "true", "yes", "on", "1":
		is = true
	case "false", "no", "off", "0":
	default:
		return mismatch(n, "true or false")
	}
	if n.Kind != yaml.Scalar {
		return mismatch(n, "true or false")
	}
	v.Set(reflect.ValueOf(&is))
	return nil
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil && a.Zone() == "":
		return a, nil
	case strings.Contains(s, "/"):
		if _, err := netip.ParsePrefix(s); err == nil {
			return netip.Addr{}, fmt.Errorf("%w address %q: want it without the length of a prefix, which is another field's", fleet.ErrInvalid, s)
		}
	}
	return netip.Addr{}, errors.New("no address")
}

// parseTime reads RFC 3339, and what Warewulf has there: true or false.
func parseTime(s string) (time.Time, error) {
	switch strings.ToLower(s) {
	case "false", "no":
		return time.Time{}, nil
	case "true", "yes":
		return time.Time{}, fmt.Errorf("%w time %q: want until when, such as 2026-01-31T18:00:00Z, or leave it out and run samara node discover", fleet.ErrInvalid, s)
	}
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
