package yaml

import "strings"

// A header is what stands behind the | or > of a block scalar.
type header struct {
	folded bool
	indent int  // of its lines, beyond that of what it belongs to; 0: that of the first one
	chomp  byte // '-': no newline at the end; '+': all of them; 0: one
}

// blockScalar reads a literal (|) or folded (>) scalar, whose lines are indented by more than indent.
func (p *parser) blockScalar(indent int) (*Node, error) {
	n := p.place(Scalar, p.at)
	n.Quoted = true
	h, err := p.header()
	if err != nil {
		return nil, err
	}
	if p.at < len(p.text) {
		p.newline()
	}
	column := max(indent, 0) + h.indent
	if h.indent == 0 {
		if column, err = p.firstIndent(indent); err != nil {
			return nil, err
		}
	}
	n.Text = p.lines(h, column)
	return n, nil
}

func (p *parser) header() (header, error) {
	h := header{folded: p.text[p.at] == '>'}
	for p.at++; p.at < len(p.text) && !isSpace(p.text[p.at]); p.at++ {
		switch c := p.text[p.at]; {
		case c >= '1' && c <= '9' && h.indent == 0:
			h.indent = int(c - '0')
		case (c == '-' || c == '+') && h.chomp == 0:
			h.chomp = c
		default:
			return h, p.fail("%s cannot follow | or >; text that begins with these needs quotes", p.quoteLine())
		}
	}
	return h, p.endLine("| or >")
}

// firstIndent returns how far the first line is indented that is not empty. If there is none that belongs to the scalar,
// it returns a column that none has.
func (p *parser) firstIndent(indent int) (int, error) {
	widest := 0
	for at := p.at; at < len(p.text); {
		end := strings.IndexByte(p.text[at:], '\n')
		if end < 0 {
			end = len(p.text) - at
		}
		line := p.text[at : at+end]
		column := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case column == len(line):
			widest = max(widest, column)
		case column <= indent:
			return max(indent+1, widest), nil
		case line[column] == '\t' && strings.TrimLeft(line, " \t") != "" && column == 0:
			return 0, p.failAt(at, "a tab in the indentation; want blanks")
		case widest > column:
			return 0, p.failAt(at, "an empty line above is indented by %d, more than the text (%d)", widest, column)
		default:
			return column, nil
		}
		at += end + 1
	}
	return max(indent+1, widest), nil
}

// lines reads the lines of a block scalar, and leaves p before the newline of the last one. See YAML 1.2, 8.1.
func (p *parser) lines(h header, column int) string {
	var b strings.Builder
	var pending, empty int // newlines: of the last line with text, and of the empty ones since
	wasBlank := false      // whether that line begins with a blank
	for p.at < len(p.text) && !p.atAnyMarker() {
		start := p.at
		p.toLineEnd()
		line := p.text[start:p.at]
		spaces := len(line) - len(strings.TrimLeft(line, " "))
		if spaces < column && spaces < len(line) {
			p.at = start
			break
		}
		if len(line) <= column {
			empty++
		} else {
			line = line[column:]
			isBlankLine := isBlank(line[0])
			switch {
			case h.folded && pending > 0 && !wasBlank && !isBlankLine && empty == 0:
				b.WriteByte(' ')
			case h.folded && pending > 0 && !wasBlank && !isBlankLine:
			case pending > 0:
				b.WriteByte('\n')
			}
			b.WriteString(strings.Repeat("\n", empty))
			b.WriteString(line)
			pending, empty, wasBlank = 1, 0, isBlankLine
		}
		if p.at < len(p.text) {
			p.newline()
		}
	}
	if pending > 0 && h.chomp != '-' {
		b.WriteByte('\n')
	}
	if h.chomp == '+' {
		b.WriteString(strings.Repeat("\n", empty))
	}
	return b.String()
}
