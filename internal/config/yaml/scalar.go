package yaml

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// scalar reads a quoted or a plain scalar in a block; what it continues with is indented by more than indent.
func (p *parser) scalar(indent int) (*Node, error) {
	if c := p.text[p.at]; c == '"' || c == '\'' {
		return p.quoted()
	}
	return p.plain(indent, false)
}

// plain reads a scalar without quotes, which ends where something of its surroundings begins.
func (p *parser) plain(indent int, inFlow bool) (*Node, error) {
	if err := p.checkPlainStart(inFlow); err != nil {
		return nil, err
	}
	n := p.place(Scalar, p.at)
	n.Text = p.plainLine(inFlow)
	if inFlow && n.Text == "" {
		return nil, p.fail("%s where a value is wanted", p.quoteLine())
	}
	var lines *strings.Builder // of a text of several lines
	for {
		at, line, lineStart := p.at, p.line, p.lineStart
		breaks := p.breaks()
		if breaks == 0 || p.at == len(p.text) || p.text[p.at] == '#' || p.atAnyMarker() || !inFlow && p.spaces() <= indent ||
			inFlow && (isFlowIndicator(p.text[p.at]) || p.endsPlain(p.at, inFlow)) {
			p.at, p.line, p.lineStart = at, line, lineStart
			break
		}
		if lines == nil {
			lines = &strings.Builder{}
			lines.WriteString(n.Text)
		}
		fold(lines, breaks)
		lines.WriteString(p.plainLine(inFlow))
	}
	if lines != nil {
		n.Text = lines.String()
	}
	return n, nil
}

// spaces returns how far this line is indented, up to the first tab.
func (p *parser) spaces() int {
	n := p.lineStart
	for n < p.at && p.text[n] == ' ' {
		n++
	}
	return n - p.lineStart
}

func (p *parser) checkPlainStart(inFlow bool) error {
	c, next := p.text[p.at], p.byteAt(p.at+1)
	switch {
	case strings.IndexByte("-?:", c) >= 0 && (isSpace(next) || inFlow && isFlowIndicator(next)):
		return p.fail("%s where a value or a key is wanted", p.quoteLine())
	case strings.IndexByte("@`%#", c) >= 0:
		return p.fail("%s: text that begins with %c needs quotes", p.quoteLine(), c)
	case strings.IndexByte(",]}", c) >= 0, !inFlow && (c == '|' || c == '>'):
		return p.fail("%s where a value or a key is wanted; such text needs quotes", p.quoteLine())
	}
	return nil
}

// plainLine reads a plain scalar up to the end of the line at most, without the blanks behind it.
func (p *parser) plainLine(inFlow bool) string {
	start, end := p.at, p.at
	for at := p.at; at < len(p.text); at++ {
		c := p.text[at]
		if c == '\n' || c == '#' && at > start && isBlank(p.text[at-1]) || inFlow && isFlowIndicator(c) || p.endsPlain(at, inFlow) {
			break
		}
		if !isBlank(c) {
			end = at + 1
		}
	}
	p.at = end
	return p.text[start:end]
}

// endsPlain reports whether the byte at is a colon that ends a key.
func (p *parser) endsPlain(at int, inFlow bool) bool {
	if p.text[at] != ':' {
		return false
	}
	next := p.byteAt(at + 1)
	return isSpace(next) || inFlow && isFlowIndicator(next)
}

// breaks goes over the blanks and ends of lines within a scalar, and returns how many lines ended.
func (p *parser) breaks() int {
	count := 0
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		if p.text[p.at] == '\n' {
			p.newline()
			count++
			continue
		}
		p.at++
	}
	return count
}

// fold writes what that many ends of lines mean within a scalar: YAML 1.2, 6.5.
func fold(b *strings.Builder, breaks int) {
	if breaks == 1 {
		b.WriteByte(' ')
		return
	}
	for range breaks - 1 {
		b.WriteByte('\n')
	}
}

// quoted reads a scalar in single or double quotes.
func (p *parser) quoted() (*Node, error) {
	open := p.at
	n := p.place(Scalar, open)
	n.Quoted = true
	quote := p.text[open]
	p.at++
	stop := "\n\\\""
	if quote == '\'' {
		stop = "\n'"
	}
	var b strings.Builder
	for {
		length := strings.IndexAny(p.text[p.at:], stop)
		if length < 0 {
			return nil, p.failAt(open, "%c is not closed", quote)
		}
		piece := p.text[p.at : p.at+length]
		p.at += length
		switch c := p.text[p.at]; {
		case c == '\n':
			b.WriteString(strings.TrimRight(piece, " \t"))
			breaks := p.breaks()
			if p.atAnyMarker() {
				return nil, p.failAt(open, "%c is not closed within its document", quote)
			}
			fold(&b, breaks)
		case c == '\\':
			b.WriteString(piece)
			if err := p.escape(&b); err != nil {
				return nil, err
			}
		case quote == '\'' && p.byteAt(p.at+1) == '\'':
			b.WriteString(piece)
			b.WriteByte('\'')
			p.at += 2
		default:
			p.at++
			if b.Len() == 0 {
				n.Text = piece
			} else {
				b.WriteString(piece)
				n.Text = b.String()
			}
			return n, p.afterQuote()
		}
	}
}

// afterQuote refuses text right behind a closing quote.
func (p *parser) afterQuote() error {
	if c := p.byteAt(p.at); !isSpace(c) && c != ':' && !isFlowIndicator(c) {
		return p.fail("%s right behind a closing quote; put all of it in quotes", p.quoteLine())
	}
	return nil
}

// escape reads a backslash and what follows: YAML 1.2, 5.7.
func (p *parser) escape(b *strings.Builder) error {
	c := p.byteAt(p.at + 1)
	if c == '\n' && p.at+1 < len(p.text) {
		p.at++
		if breaks := p.breaks(); breaks > 1 {
			fold(b, breaks)
		}
		return nil
	}
	const from, to = "0abt\tnvfre \"/\\N_LP", "\x00\a\b\t\t\n\v\f\r\x1b \"/\\\u0085\u00a0\u2028\u2029"
	if i := strings.IndexByte(from, c); i >= 0 {
		b.WriteRune([]rune(to)[i])
		p.at += 2
		return nil
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits == 0 {
		return p.fail("\\%c in double quotes means nothing; a backslash is \\\\ there, or itself in single quotes", c)
	}
	end := min(p.at+2+digits, len(p.text))
	code, err := strconv.ParseUint(p.text[p.at+2:end], 16, 32)
	if err != nil || end-p.at-2 != digits {
		return p.fail("\\%c needs %d hexadecimal digits", c, digits)
	}
	if low, ok := p.surrogate(rune(code), end); ok {
		code, end = uint64(low), end+6
	}
	if !utf8.ValidRune(rune(code)) {
		return p.fail("%s is no character", p.text[p.at:end])
	}
	b.WriteRune(rune(code))
	p.at = end
	return nil
}

// surrogate returns the character that two escapes of JSON are, if high is the first of such and the second is at end.
func (p *parser) surrogate(high rune, end int) (rune, bool) {
	if high < 0xd800 || high >= 0xdc00 || end+6 > len(p.text) || p.text[end:end+2] != `\u` {
		return 0, false
	}
	low, err := strconv.ParseUint(p.text[end+2:end+6], 16, 32)
	if err != nil || low < 0xdc00 || low >= 0xe000 {
		return 0, false
	}
	return (high-0xd800)<<10 + rune(low-0xdc00) + 0x10000, true
}
