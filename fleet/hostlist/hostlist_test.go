package hostlist

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExpandListsNames(t *testing.T) {
	for phrase, c := range map[string]struct {
		list string
		want string // names between blanks
	}{
		"one name":                        {"n1", "n1"},
		"several names":                   {"n1,login,n2", "n1 login n2"},
		"a range":                         {"n[1-3]", "n1 n2 n3"},
		"a range across a power of ten":   {"n[8-11]", "n8 n9 n10 n11"},
		"a padded range":                  {"n[08-11]", "n08 n09 n10 n11"},
		"a padded range that outgrows it": {"n[098-101,0999-1000]", "n098 n099 n100 n101 n0999 n1000"},
		"a padded range into more digits": {"n[98-101]", "n98 n99 n100 n101"},
		"ranges and numbers":              {"n[001-003,205]", "n001 n002 n003 n205"},
		"a padding for each range":        {"n[1,01,001-002]", "n1 n01 n001 n002"},
		"brackets multiply":               {"r[1-2]n[01-02]", "r1n01 r1n02 r2n01 r2n02"},
		"adjoining brackets":              {"r[1-2][0-1]", "r10 r11 r20 r21"},
		"text after brackets":             {"n[1-2]-ib", "n1-ib n2-ib"},
		"brackets first":                  {"[1-2]n", "1n 2n"},
		"lists of ranges":                 {"n1,n2,x[3-4]", "n1 n2 x3 x4"},
		"duplicates are dropped in place": {"n[3,1-3],n2,n4", "n3 n1 n2 n4"},
		"a range of one":                  {"n[0-0]", "n0"},
		"a padded zero":                   {"n[00-01]", "n00 n01"},
	} {
		t.Run(phrase, func(t *testing.T) {
			got, err := Expand(c.list)
			if err != nil || strings.Join(got, " ") != c.want {
				t.Errorf("Expand(%q) = %q, %v; want %q", c.list, got, err, c.want)
			}
		})
	}
}

func TestExpandSaysWhatAndWhere(t *testing.T) {
	for list, want := range map[string]string{
		"":                         `bad node list "": position 1: empty; name at least one node, such as n1 or n[001-100]`,
		"n[]":                      `bad node list "n[]": position 2: empty brackets; want numbers, such as [1-4,7]`,
		"n[1-4":                    `bad node list "n[1-4": position 2: [ without its ]`,
		"n[":                       `bad node list "n[": position 2: [ without its ]`,
		"n[1-":                     `bad node list "n[1-": position 2: [ without its ]`,
		"n[1,":                     `bad node list "n[1,": position 2: [ without its ]`,
		"n1]":                      `bad node list "n1]": position 3: ] without its [`,
		"n[4-1]":                   `bad node list "n[4-1]": position 3: range 4-1 runs backwards; want the smaller number first`,
		"n[10-9]":                  `bad node list "n[10-9]": position 3: range 10-9 runs backwards; want the smaller number first`,
		"n[-1]":                    `bad node list "n[-1]": position 3: a number is missing before '-'; want numbers, such as [1-4,7]`,
		"n[1-]":                    `bad node list "n[1-]": position 5: a number is missing before ']'; want numbers, such as [1-4,7]`,
		"n[1,,2]":                  `bad node list "n[1,,2]": position 5: a number is missing before ','; want numbers, such as [1-4,7]`,
		"n[1,]":                    `bad node list "n[1,]": position 5: a number is missing before ']'; want numbers, such as [1-4,7]`,
		"n[1-2-3]":                 `bad node list "n[1-2-3]": position 6: '-' cannot stand in brackets; want numbers, such as [1-4,7]`,
		"n[a-c]":                   `bad node list "n[a-c]": position 3: a number is missing before 'a'; want numbers, such as [1-4,7]`,
		"n[001-10]":                `bad node list "n[001-10]": position 3: the ends of range 001-10 are padded to 3 and 2 digits; want the same number of digits`,
		"n[1-010]":                 `bad node list "n[1-010]": position 3: the ends of range 1-010 are padded to 1 and 3 digits; want the same number of digits`,
		"n[01-010]":                `bad node list "n[01-010]": position 3: the ends of range 01-010 are padded to 2 and 3 digits; want the same number of digits`,
		"n[1[2]]":                  `bad node list "n[1[2]]": position 4: brackets within brackets`,
		"n[[1]]":                   `bad node list "n[[1]]": position 3: brackets within brackets`,
		"N1":                       `bad node list "N1": position 1: 'N' cannot stand in a name; want lower-case letters, digits and inner hyphens`,
		"n1 n2":                    `bad node list "n1 n2": position 3: ' ' cannot stand in a name; want lower-case letters, digits and inner hyphens`,
		"n1\nn2":                   `bad node list "n1\nn2": position 3: '\n' cannot stand in a name; want lower-case letters, digits and inner hyphens`,
		"né":                       `bad node list "né": position 2: 'é' cannot stand in a name; want lower-case letters, digits and inner hyphens`,
		"n1,":                      `bad node list "n1,": position 4: a name is missing; remove the comma or name a node`,
		",n1":                      `bad node list ",n1": position 1: a name is missing; remove the comma or name a node`,
		"n1,,n2":                   `bad node list "n1,,n2": position 4: a name is missing; remove the comma or name a node`,
		"-n1":                      `bad node list "-n1": position 1: a name cannot begin with a hyphen`,
		"n[1-2]-":                  `bad node list "n[1-2]-": position 7: a name cannot end with a hyphen`,
		"n[1-100001]":              `bad node list "n[1-100001]": position 1: more than 100000 names up to here; name fewer nodes at a time`,
		"x,n[0-99999]":             `bad node list "x,n[0-99999]": position 3: more than 100000 names up to here; name fewer nodes at a time`,
		"n[0-9999999999999999999]": `bad node list "n[0-9999999999999999999]": position 5: a number of more than 18 digits`,
		"a[0-999999999999999999]b[0-999999999999999999]": `bad node list "a[0-999999999999999999]b[0-999999999999999999]": position 1: more than 100000 names up to here; name fewer nodes at a time`,
	} {
		if names, err := Expand(list); err == nil || err.Error() != want || !errors.Is(err, ErrSyntax) {
			t.Errorf("Expand(%q) = %d names, %v; want the error %s", list, len(names), err, want)
		}
	}
}

func TestExpandShowsTheFaultOfALongList(t *testing.T) {
	list := strings.Repeat("node,", 1000) + "n[4-1]," + strings.Repeat("node,", 1000)
	_, err := Expand(list)
	if err == nil || !strings.Contains(err.Error(), "n[4-1]") || !strings.Contains(err.Error(), "position 5003:") || len(err.Error()) > 250 {
		t.Errorf("Expand of %d bytes: %v; want a short error that shows n[4-1] and position 5003", len(list), err)
	}
}

func TestExpandBoundsNameLength(t *testing.T) {
	for list, fits := range map[string]bool{
		strings.Repeat("a", 63):                                true,
		strings.Repeat("a", 64):                                false,
		strings.Repeat("a", 62) + "[1-9]":                      true,
		strings.Repeat("a", 62) + "[1-10]":                     false,
		strings.Repeat("[1]", 63):                              true,
		strings.Repeat("[1]", 64):                              false,
		strings.Repeat("a", 1<<20):                             false,
		"n" + strings.Repeat("[1-2]", 17):                      false, // 131072 names
		"n" + strings.Repeat("[1-2]", 16):                      true,
		"n[" + strings.Repeat("1,", 100_000) + "1]":            false,
		strings.TrimSuffix(strings.Repeat("n,", 100_001), ","): false,
	} {
		if names, err := Expand(list); (err == nil) != fits {
			t.Errorf("Expand(%.40q…, %d bytes) = %d names, %v; want it accepted: %t", list, len(list), len(names), err, fits)
		}
	}
}

func TestFoldWritesShortLists(t *testing.T) {
	for phrase, c := range map[string]struct {
		names string // between blanks
		want  string
	}{
		"nothing":                         {"", ""},
		"one name":                        {"n1", "n1"},
		"a name without a number":         {"login", "login"},
		"a padded range and a number":     {"n001 n002 n003 n5", "n[001-003,5]"},
		"two numbers":                     {"n2 n1", "n[1-2]"},
		"out of order and twice":          {"n3 n1 n2 n3", "n[1-3]"},
		"across a power of ten":           {"n8 n9 n10 n11", "n[8-11]"},
		"padded across a power of ten":    {"n098 n099 n100", "n[098-100]"},
		"padded beyond its width":         {"n99 n100 n099", "n[99,099-100]"},
		"holes":                           {"n1 n3 n4 n9", "n[1,3-4,9]"},
		"two dimensions":                  {"r1n01 r1n02 r2n01 r2n02", "r[1-2]n[01-02]"},
		"two dimensions, not a rectangle": {"r1n1 r1n2 r2n1", "r1n[1-2],r2n1"},
		"a hole in the second dimension":  {"r1n1 r1n3 r2n1 r2n3", "r[1-2]n[1,3]"},
		"different text":                  {"gpu1 n1 gpu2 n2 login", "gpu[1-2],login,n[1-2]"},
		"text after the number":           {"n1-ib n2-ib n1 n2", "n[1-2],n[1-2]-ib"},
		"a number too long for a range":   {"n1234567890123456789 n1234567890123456790", "n1234567890123456789,n1234567890123456790"},
	} {
		t.Run(phrase, func(t *testing.T) {
			if got := Fold(strings.Fields(c.names)); got != c.want {
				t.Errorf("Fold(%s) = %s, want %s", c.names, got, c.want)
			}
		})
	}
}

func TestFoldOfAWholeClusterIsShort(t *testing.T) {
	var names []string
	for rack := range 100 {
		for node := range 1000 {
			names = append(names, fmt.Sprintf("r%02dn%04d", rack+1, node))
		}
	}
	slices.Reverse(names)
	if got, want := Fold(names), "r[01-100]n[0000-0999]"; got != want {
		t.Errorf("Fold of %d names = %.80s, want %s", len(names), got, want)
	}
}

func TestExpandUndoesFold(t *testing.T) {
	name := rapid.StringMatching(`(r[0-3]{1,2})?(n|gpu|x-)?0{0,2}[0-9]{1,2}(-ib|b)?|[a-z]{1,3}|[0-9]{17,20}`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(name, 1, 60).Draw(t, "names")
		want := slices.Clone(names)
		slices.SortFunc(want, Compare)
		want = slices.Compact(want)
		list := Fold(names)
		got, err := Expand(list)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("Fold(%q) = %s, which expands to %q, %v; want %q", names, list, got, err, want)
		}
		if again := Fold(got); again != list {
			t.Fatalf("Fold(%q) = %s, but folding what it expands to gives %s", names, list, again)
		}
	})
}

func FuzzExpand(f *testing.F) {
	for _, list := range []string{
		"n1", "n[001-100,205]", "r[1-2]n[01-04]", "n1,n2,x[3-4]", "n[]", "n[4-1]", "n[-1]", "n[001-10]", "n[[1]]", "n]",
		"n[1-", "n,,n", "N1", "né", "n[0-99999999999999999999]", "[0-9][0-9][0-9][0-9][0-9][0-9]", "a[00-01]-", "\xff", "n[\xff",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		names, err := Expand(list)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("Expand(%q): %v; want one line that wraps ErrSyntax", list, err)
			}
			return
		}
		if len(names) == 0 || len(names) > MaxNames {
			t.Fatalf("Expand(%q): %d names", list, len(names))
		}
		for _, n := range names {
			if n == "" || len(n) > maxName || n[0] == '-' || n[len(n)-1] == '-' || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Fatalf("Expand(%q) holds %q, which is no name", list, n)
			}
		}
		folded, err := Expand(Fold(names))
		slices.SortFunc(names, Compare)
		if err != nil || !slices.Equal(folded, names) {
			t.Fatalf("Expand(%q) = %q, which folds to %s and expands to %q, %v", list, names, Fold(names), folded, err)
		}
	})
}

func BenchmarkExpand(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Expand("r[01-50]n[001-100]"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestKeysOrderAsNamesDo(t *testing.T) {
	name := rapid.OneOf(rapid.StringMatching(`[a-c]{0,2}[0-9]{0,3}[a-b-]{0,2}[0-9]{0,20}[a-z]{0,1}`), rapid.StringMatching(`n0{0,3}[0-9]{1,3}`))
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		if got, want := bytes.Compare(AppendKey(nil, a), AppendKey(nil, b)), Compare(a, b); got != want {
			t.Fatalf("the keys of %q and %q compare as %d, the names as %d", a, b, got, want)
		}
	})
}
