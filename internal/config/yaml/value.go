package yaml

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Value returns what a Scalar is by the core schema of YAML 1.2, 10.3.2: nil, a bool, a string, a json.Number if it is
// written as JSON does, else an int64 or a float64. Digits after a zero are octal, as YAML 1.1 and Warewulf have them.
func (n *Node) Value() any {
	switch {
	case n.Quoted:
		return n.Text
	case n.IsNull():
		return nil
	}
	switch n.Text {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	if c := n.Text[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return n.Text
	}
	return number(n.Text)
}

// number returns the number that text is, or else text.
func number(text string) any {
	if c := text[0]; (c == '-' || c >= '0' && c <= '9') && json.Valid([]byte(text)) {
		return json.Number(text)
	}
	unsigned := strings.TrimLeft(text, "+-")
	if len(text)-len(unsigned) > 1 {
		return text
	}
	switch unsigned {
	case ".nan", ".NaN", ".NAN":
		return math.NaN()
	case ".inf", ".Inf", ".INF":
		if text[0] == '-' {
			return math.Inf(-1)
		}
		return math.Inf(1)
	}
	if strings.ContainsAny(text, "_bBpPnN") {
		return text // Go's forms, not YAML's
	}
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		return i
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && !strings.ContainsAny(text, "xX") {
		return f
	}
	return text
}
