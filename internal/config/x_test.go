package config
import ("testing";"fmt";"strings";"time";"runtime"
"github.com/goccy/go-yaml/ast"
"github.com/goccy/go-yaml/parser"
"github.com/goccy/go-yaml/lexer"
)
func dump(n ast.Node, d int) {
	pos := ""
	if n!=nil { if tk:=n.GetToken(); tk!=nil { pos=fmt.Sprintf("%d:%d %v %q", tk.Position.Line,tk.Position.Column,tk.Type,tk.Value)}}
	fmt.Printf("%s%T %s\n", strings.Repeat("  ",d), n, pos)
	switch v:=n.(type){
	case *ast.MappingNode: for _,p:=range v.Values{dump(p,d+1)}
	case *ast.MappingValueNode: dump(v.Key,d+1);dump(v.Value,d+1)
	case *ast.SequenceNode: for _,p:=range v.Values{dump(p,d+1)}
	case *ast.AnchorNode: dump(v.Name,d+1);dump(v.Value,d+1)
	case *ast.AliasNode: dump(v.Value,d+1)
	case *ast.TagNode: dump(v.Value,d+1)
	case *ast.LiteralNode: dump(v.Value,d+1)
	case *ast.MappingKeyNode: dump(v.Value,d+1)
	}
}
func TestX(t *testing.T){
	for _,s:=range []string{"a: 1\n","a: {b: c}\n","%YAML 1.2\n---\nx: &a {b: 1}\ny: *a\nz:\n  <<: [*a, *a]\n  k: !!str 5\n...\n---\n","a:\n  - ~p1\n  - ~\n  - 010\n  - 1e5\n  - -0\n  - 123456789012345678901234567890\n  - yes\n  - .5\n  - 5.\n  - +5\n  - 0x1F\n  - 1_000\n  - 0o17\n  - 2026-01-01T00:00:00Z\n  - 08\nb: |\n   hi\n   x\nc: >-\n   d\n   e\n\"q k\": 'v'\nd: multi\n  line plain\n52:54: 1\n? x\n: y\n"}{
		f,err:=parser.ParseBytes([]byte(s),0,parser.AllowDuplicateMapKey())
		fmt.Printf("--- %q %v\n",s,err)
		if err!=nil{continue}
		for _,d:=range f.Docs{ if d.Body!=nil {dump(d.Body,0)} else {fmt.Println("nil body")}}
	}
}
func TestBad(t *testing.T){
	for _,s:=range []string{"a: [1\n","a:\n\tb: 1\n","a: b: c\n","a: 'x\n","a\nb: 1\n","- a\nb: 1\n","a: *x\n", "a: 1\na: 2\n", "\"a\n", "a: }\n", "&a &b c\n", "a: @x\n","a: `x\n","a: %x\n"}{
		f,err:=parser.ParseBytes([]byte(s),0,parser.AllowDuplicateMapKey())
		fmt.Printf("--- %q %T\n%v\n",s,err,err)
		_=f
	}
}
func TestSlow(t *testing.T){
	n:=200000
	for name,s:=range map[string]string{
		"flow open": strings.Repeat("[",2000),
		"commas": "["+strings.Repeat(",",n)+"]",
		"seq": "a:\n"+strings.Repeat("- a\n",n),
		"map": func()string{var b strings.Builder; for i:=range n/2 {fmt.Fprintf(&b,"k%d: v\n",i)}; return b.String()}(),
		"flowmap": func()string{var b strings.Builder; b.WriteString("{");for i:=range n/2 {fmt.Fprintf(&b,"k%d: v, ",i)}; return b.String()+"}"}(),
		"long plain": "a: "+strings.Repeat("x",n*3),
		"long multi plain": "a: "+strings.Repeat("x\n  ",n),
		"long dq": "a: \""+strings.Repeat("x ",n)+"\"",
		"long dq lines": "a: \""+strings.Repeat("x\n  ",n)+"\"",
		"long literal": "a: |\n"+strings.Repeat("  x\n",n),
		"comments": strings.Repeat("# x\n",n),
		"blank": strings.Repeat("\n",n)+"a: 1",
		"spaces": "a:"+strings.Repeat(" ",n)+"b",
		"dashes": strings.Repeat("- ",1000),
		"anchors": strings.Repeat("&a ",1000),
		"tags": strings.Repeat("!a ",1000),
		"q": strings.Repeat("? ",1000),
		"deep": func()string{var b strings.Builder; for i:=range 1000 {b.WriteString(strings.Repeat(" ",i)+"a:\n")}; return b.String()}(),
		"docs": strings.Repeat("---\na: 1\n",n/4),
		"colon": strings.Repeat("a:\n",n/2),
	}{
		var m0,m1 runtime.MemStats; runtime.GC(); runtime.ReadMemStats(&m0)
		t0:=time.Now()
		tk:=lexer.Tokenize(s)
		t1:=time.Since(t0)
		_,err:=parser.Parse(tk,0,parser.AllowDuplicateMapKey())
		runtime.ReadMemStats(&m1)
		e:=""
		if err!=nil {e=strings.SplitN(err.Error(),"\n",2)[0]}
		if len(e)>80 {e=e[:80]}
		fmt.Printf("%-18s %8d bytes %7d tokens lex %v all %v alloc %d MiB (%d B/token) %s\n",name,len(s),len(tk),t1,time.Since(t0),(m1.TotalAlloc-m0.TotalAlloc)>>20,(m1.TotalAlloc-m0.TotalAlloc)/uint64(len(tk)+1),e)
	}
}
