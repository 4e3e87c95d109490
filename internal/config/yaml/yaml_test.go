package yaml

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// outline writes a tree in one line: places, texts in quotes if they are quoted, and kinds as brackets.
func outline(n *Node) string {
	place := fmt.Sprintf("%d:%d ", n.Line, n.Column)
	switch {
	case n.Kind == Scalar && n.Quoted:
		return place + fmt.Sprintf("%q", n.Text)
	case n.Kind == Scalar:
		return place + n.Text
	}
	var items []string
	for _, item := range n.Items {
		items = append(items, outline(item))
	}
	if n.Kind == Mapping {
		return place + "{" + strings.Join(items, ", ") + "}"
	}
	return place + "[" + strings.Join(items, ", ") + "]"
}

func TestParseSaysWhereThingsAre(t *testing.T) {
	for phrase, c := range map[string]struct{ text, want string }{
		"a mapping":               {"a: b\nc:\n  d: e\n", "1:1 {1:1 a, 1:4 b, 2:1 c, 3:3 {3:3 d, 3:6 e}}"},
		"characters":              {"é: 'ü' # x\nb: [ä, ö]\n", "1:1 {1:1 é, 1:4 \"ü\", 2:1 b, 2:4 [2:5 ä, 2:8 ö]}"},
		"a list below its key":    {"a:\n- b\n- c: d\n  e: f\ng: h\n", "1:1 {1:1 a, 2:1 [2:3 b, 3:3 {3:3 c, 3:6 d, 4:3 e, 4:6 f}], 5:1 g, 5:4 h}"},
		"lists in lists":          {"- - a\n  - b\n-\n  - c\n", "1:1 [1:3 [1:5 a, 2:5 b], 4:3 [4:5 c]]"},
		"text of several lines":   {"a: b\n  c\n\n  d\ne: \"f\n  g\"\n", "1:1 {1:1 a, 1:4 b c\nd, 5:1 e, 5:4 \"f g\"}"},
		"a literal":               {"a: |\n  b\n   c\n\nd: >-\n  e\n  f\n", "1:1 {1:1 a, 1:4 \"b\\n c\\n\", 5:1 d, 5:4 \"e f\"}"},
		"an alias is its anchor":  {"a: &x b\nc: *x\n", "1:1 {1:1 a, 1:7 b, 2:1 c, 1:7 b}"},
		"braces of several lines": {"{a: {\n  b: c},\n d: }\n", "1:1 {1:2 a, 1:5 {2:3 b, 2:6 c}, 3:2 d, 3:5 }"},
		"an anchor of a key":      {"&x a: b\n*x\n", ""},
		"text with colons":        {"a: b:c\nd: http://e\n", "1:1 {1:1 a, 1:4 b:c, 2:1 d, 2:4 http://e}"},
		"a comment is no text":    {"a: b #c\nd: e#f\n", "1:1 {1:1 a, 1:4 b, 2:1 d, 2:4 e#f}"},
		"escapes":                 {`"\x41\u00e9\U0001F600\ud83d\ude00\t\"\\\/\ "`, `1:1 "Aé😀😀\t\"\\/ "`},
		"an empty document":       {"---\n---\na\n", "3:1 a"},
	} {
		t.Run(phrase, func(t *testing.T) {
			docs, err := Parse([]byte(c.text))
			if c.want == "" {
				if err == nil {
					t.Fatalf("Parse(%q) accepts it", c.text)
				}
				return
			}
			if err != nil || len(docs) != 1 {
				t.Fatalf("Parse(%q): %d documents, %v", c.text, len(docs), err)
			}
			if got := outline(docs[0]); got != c.want {
				t.Errorf("Parse(%q):\ngot  %s\nwant %s", c.text, got, c.want)
			}
		})
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for phrase, c := range map[string]struct{ text, want string }{
		"brackets open":               {"a: [b,\n c\n", "1:4: [ is not closed"},
		"brackets open at a document": {"a: [b,\n---\n", "1:4: [ is not closed within its document"},
		"braces closed by a bracket":  {"a: {b: c]\n", "1:9: \"]\" where , or } is wanted"},
		"a bracket too many":          {"a: ]\n", "1:4: \"]\" where a value or a key is wanted; such text needs quotes"},
		"quotes open":                 {"a: 'b\nc: d\n", "1:4: ' is not closed"},
		"text behind quotes":          {"a: 'b' c\n", "1:8: \"c\" behind a value; want the end of the line, or all of it in quotes"},
		"text behind brackets":        {"[a] c\n", "1:5: \"c\" behind a value; want the end of the line, or all of it in quotes"},
		"text right behind quotes":    {"a: 'b'c\n", "1:7: \"c\" right behind a closing quote; put all of it in quotes"},
		"a wrong escape":              {`a: "C:\dir"`, "1:7: \\d in double quotes means nothing; a backslash is \\\\ there, or itself in single quotes"},
		"half an escape":              {`a: "\u12"`, "1:5: \\u needs 4 hexadecimal digits"},
		"half a surrogate":            {`a: "\ud83d"`, `1:5: \ud83d is no character`},
		"a control character":         {"a: b\x07\n", "1:5: character U+0007 cannot stand in YAML; in double quotes write it as \\x07"},
		"a tab":                       {"a:\n\tb: c\n", "2:1: a tab in the indentation; want blanks"},
		"a list on the line of a key": {"a: - b\n", "1:4: a list item cannot stand here; begin it on a line of its own"},
		"a list where a key is":       {"a: b\n- c\n", "2:1: a list item where a key is wanted; indent the list by more than its key"},
		"a key in a list":             {"- a\nb: c\n", "2:1: \"b: c\" belongs to nothing above; check how the lines are indented"},
		"an anchor and no key":        {"a: b\n&c", "2:3: an anchor or a tag without a key; want KEY: VALUE behind it"},
		"no blank after a colon":      {"a: b\nc:d\n", "2:1: \"c:d\" where a key is wanted; want KEY: VALUE, with a blank after the colon"},
		"a reserved character":        {"a: @b\n", "1:4: \"@b\": text that begins with @ needs quotes"},
		"a star":                      {"a: *.b\n", "1:4: no anchor &.b above; text that begins with * needs quotes"},
		"an exclamation mark":         {"a: !b\n", "1:4: tag \"!b\" is not known here; text that begins with ! needs quotes"},
		"a comma at the beginning":    {"a: [, b]\n", "1:5: a comma with nothing before it"},
		"two commas":                  {"a: [b,, c]\n", "1:7: a comma with nothing before it"},
		"a key in brackets":           {"a: [b: c]\n", "1:6: a key in a list; write {KEY: VALUE}"},
		"a question mark":             {"? a\n: b\n", "1:1: keys that begin with ? are not read; write KEY: VALUE"},
		"a list as a key":             {"[a]: b\n", "1:4: a collection cannot be a key; want text"},
		"a wrong header":              {"a: |x\n", "1:5: \"x\" cannot follow | or >; text that begins with these needs quotes"},
		"indented too little":         {"a: |\n     \n  b\n", "3:1: an empty line above is indented by 5, more than the text (2)"},
		"a directive of nothing":      {"%YAML 1.2\na: b\n", "1:1: a directive must be followed by a line ---"},
		"two values":                  {"a\n---\nb: c\n d: e\n", "4:3: a key here, but this line continues the text of line 3; indent the keys of a mapping alike, and put text of several lines in quotes"},
	} {
		t.Run(phrase, func(t *testing.T) {
			docs, err := Parse([]byte(c.text))
			var syntax *Error
			if !errors.As(err, &syntax) {
				t.Fatalf("Parse(%q) = %d documents, %v; want an error", c.text, len(docs), err)
			}
			if err.Error() != c.want {
				t.Errorf("Parse(%q):\ngot  %s\nwant %s", c.text, err, c.want)
			}
		})
	}
}

// FuzzParse reads anything. An error is within the text; a tree keeps to the bounds.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"a: [b, {c: d}]\n- e", "&a - *a\n", "- |2-\n   a\n- >+\n b\n\n", "'a''b': \"\\x41\\\n b\"", "---\n%Y\n...\n!!str\n", "? a\n: b\n\t- c"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		docs, err := Parse(text)
		var syntax *Error
		if errors.As(err, &syntax) {
			if syntax.Line < 1 || syntax.Column < 1 || syntax.Line > strings.Count(strings.ReplaceAll(string(text), "\r", "\n"), "\n")+1 {
				t.Fatalf("Parse(%q): %v is not within it", text, err)
			}
			return
		}
		for _, d := range docs {
			if got, _ := measure(t, d, 0); got != d.Size() {
				t.Fatalf("Parse(%q): %d nodes, and says %d", text, got, d.Size())
			}
		}
	})
}

// measure returns how many nodes n is, and how many collections stand within another in it.
func measure(t *testing.T, n *Node, above int) (size, height int) {
	if above > MaxDepth {
		t.Fatalf("%d collections within each other", above)
	}
	size = 1
	for _, item := range n.Items {
		s, h := measure(t, item, above+1)
		size, height = size+s, max(height, h)
	}
	return size, height + 1
}
