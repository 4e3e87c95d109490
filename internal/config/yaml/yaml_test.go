package yaml

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// outline writes a tree in one line: places, values, and kinds as brackets.
func outline(n *Node) string {
	place := fmt.Sprintf("%d:%d ", n.Line, n.Column)
	if n.Kind == Scalar {
		return place + fmt.Sprint(n.Value())
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
		"characters":              {"é: 'ü' # x\nb: [ä, ö]\n", "1:1 {1:1 é, 1:4 ü, 2:1 b, 2:4 [2:5 ä, 2:8 ö]}"},
		"a list below its key":    {"a:\n- b\n- c: d\n  e: f\ng: h\n", "1:1 {1:1 a, 2:1 [2:3 b, 3:3 {3:3 c, 3:6 d, 4:3 e, 4:6 f}], 5:1 g, 5:4 h}"},
		"lists in lists":          {"- - a\n  - b\n-\n  - c\n", "1:1 [1:3 [1:5 a, 2:5 b], 4:3 [4:5 c]]"},
		"text of several lines":   {"a: b\n  c\n\n  d\ne: \"f\n  g\"\n", "1:1 {1:1 a, 1:4 b c\nd, 5:1 e, 5:4 f g}"},
		"a literal":               {"a: |\n  b\n   c\n\nd: >-\n  e\n  f\n", "1:1 {1:1 a, 1:4 b\n c\n, 5:1 d, 5:4 e f}"},
		"an alias is its anchor":  {"a: &x b\nc: *x\n", "1:1 {1:1 a, 1:4 b, 2:1 c, 1:4 b}"},
		"braces of several lines": {"{a: {\n  b: c},\n d: }\n", "1:1 {1:2 a, 1:5 {2:3 b, 2:6 c}, 3:2 d, 3:5 <nil>}"},
		"an anchor of a key":      {"&x a: b\n*x\n", ""},
		"text with colons":        {"a: b:c\nd: http://e\n", "1:1 {1:1 a, 1:4 b:c, 2:1 d, 2:4 http://e}"},
		"a comment is no text":    {"a: b #c\nd: e#f\n", "1:1 {1:1 a, 1:4 b, 2:1 d, 2:4 e#f}"},
		"escapes":                 {`"\x41\u00e9\U0001F600\t\"\\\/\ "`, "1:1 Aé😀\t\"\\/ "},
		"JSON":                    {"{\"a\": \"\\ud83d\\uDE00\\\\ud83d\",\n \"ä\": [1.50, \"1\", true ,null, {}], \"a\": \"<<\"}", `1:1 {1:2 a, 1:7 😀\ud83d, 2:2 ä, 2:7 [2:8 1.50, 2:14 1, 2:19 true, 2:25 <nil>, 2:31 {}], 2:36 a, 2:41 <<}`},
		"no escapes of JSON":      {`{a: '\ud83d\ude00'}`, `1:1 {1:2 a, 1:5 \ud83d\ude00}`},
		"tags":                    {"[!!str 1, ! 2, !!null x, !!int y, !!float 3]", "1:1 [1:2 1, 1:11 2, 1:16 <nil>, 1:26 y, 1:35 3]"},
		"a pair in a list":        {"[a: b]", "1:1 [1:2 {1:2 a, 1:5 b}]"},
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
	const indent = "indent what belongs together alike, and put all of a text in quotes, or nothing of it"
	const end = "the file ends here: close each bracket, brace and quote"
	for phrase, c := range map[string]struct{ text, want string }{
		"brackets open":               {"a: [b,\n c\n", "2:3: did not find expected ',' or ']' while parsing a flow sequence that begins in line 1; " + end},
		"brackets open and nothing":   {"a: [", "1:5: did not find expected node content while parsing a flow node; " + end},
		"quotes open":                 {"a: 'b\nc: d\n", "1:4: found unexpected end of stream while scanning a quoted scalar"},
		"braces closed by a bracket":  {"a: {b: c]\n", "1:9: did not find expected ',' or '}' while parsing a flow mapping"},
		"a bracket too many":          {"a: ]\n", "1:4: did not find expected node content while parsing a block node; want a value; text that begins with one of ,[]{} needs quotes"},
		"text behind quotes":          {"x:\n  y: z\n  a: 'b' c\n", "3:10: did not find expected key while parsing a block mapping that begins in line 2; " + indent},
		"text behind brackets":        {"[a] c\n", "1:5: did not find expected <document start>; " + indent},
		"a wrong escape":              {`a: "C:\dir"`, `1:7: found unknown escape character while scanning a quoted scalar; a backslash is \\ in double quotes, and itself in single quotes`},
		"half a surrogate":            {`a: "\ud83d"`, "1:7: found invalid Unicode character escape code while scanning a quoted scalar"},
		"a control character":         {"ä: \ufffd\nä: b\x07\n", `2:5: character U+0007 cannot stand in YAML; in double quotes write it as \x07`},
		"a byte":                      {"a: b\nä: \xff\n", "2:4: byte 0xff is not UTF-8"},
		"a tab":                       {"a:\n\tb: c\n", "2:1: found character that cannot start any token; want blanks where tabs are, and quotes around such text"},
		"a list on the line of a key": {"a: - b\n", "1:4: block sequence entries are not allowed in this context; begin a list on a line of its own"},
		"a key in a list":             {"- a\nb: c\n", "2:1: did not find expected '-' indicator while parsing a block collection that begins in line 1; " + indent},
		"no blank after a colon":      {"a: b\nc:d\ne: f\n", "2:1: could not find expected ':' while scanning a simple key; want KEY: VALUE, with a blank after the colon"},
		"two colons":                  {"a\n---\nb: c\n d: e\n", "4:3: mapping values are not allowed in this context; indent the keys of a mapping alike, and put text that has \": \" in quotes"},
		"a star":                      {"a: *.b\n", "1:4: unknown anchor '.b' referenced; text that begins with * needs quotes"},
		"an exclamation mark":         {"a: !b\n", "1:4: tag \"!b\" is not known here; text that begins with ! needs quotes"},
		"an alias within itself":      {"a: &x [b, *x]\n", "1:11: *x within what it stands for"},
		"a list as a key":             {"[a]: b\n", "1:1: a collection cannot be a key; want text"},
		"another version":             {"%YAML 1.2\n---\na: b\n", "1:1: found incompatible YAML document; leave the line %YAML out"},
		"brackets in dashes":          {strings.Repeat("- ", 40) + strings.Repeat("[", 40) + strings.Repeat("]", 40), "1:105: more than 64 collections within each other"},
		"an alias that is too deep":   {"a: &x " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\nb: " + strings.Repeat("[", 30) + "*x" + strings.Repeat("]", 30), "2:34: *x makes more than 64 collections within each other"},
		"tag directives":              {strings.Repeat("%TAG !a! b\n", 65), "1:1: more than 64 times %TAG; leave these lines out"},
		"commas":                      {"[" + strings.Repeat("a,", maxFlow) + "]", "1:1: more than 524288 commas and brackets; put lists and mappings on lines of their own, or into several files"},
		"UTF-16":                      {"\xff\xfea\x00", "1:1: byte 0xff is not UTF-8"},
		"lines of other systems":      {strings.Repeat("\r", maxMarks+1), "1:1: more than 3145728 lines; put them into several files"},
		"lines":                       {strings.Repeat("\n", maxMarks+1), "1:1: more than 3145728 lines; put them into several files"},
		"JSON that is deep":           {strings.Repeat("[", 65) + strings.Repeat("]", 65), "1:65: more than 64 collections within each other"},
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
	for _, text := range []string{"a: [b, {c: d}]\n- e", "&a - *a\n", "- |2-\n   a\n- >+\n b\n\n", "'a''b': \"\\x41\\\n b\"", "---\n%Y\n...\n!!str\n", `[{"a": "\ud83d\ude00", "b": 1.5e3}, null, true]`, "? a\n: b\n\t- c"} {
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
