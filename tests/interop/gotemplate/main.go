// What Go's text/template and net/url answer, to compare countersign's own with.
//
// Usage: go run . <seed> <templates> <urls> > answers.jsonl
//
// Each line is a case: {"template", "text" or "fault"} over the data below, or {"url", "text" or "fault"}. Texts that are not
// UTF-8 are left out, faults are "parse" or "execute". The same seed makes the same cases.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/template"
	"unicode/utf8"
)

var data = map[string]string{
	"a": "alpha", "b": "beta", "empty": "", "flag": "true", "n": "7", "x.y/z": "dotted",
	"h": "<a href='x'>\"&\" \u00e9/?=</a>", "u": "\u00e9a\U0001f980", "ref_type": "branch", "url": "https://ci.example",
}

type answer struct {
	Template *string `json:"template,omitempty"`
	URL      *string `json:"url,omitempty"`
	Text     *string `json:"text,omitempty"`
	Fault    string  `json:"fault,omitempty"`
}

func main() {
	number := func(index int) int {
		value, err := strconv.Atoi(os.Args[index])
		if err != nil {
			panic(err)
		}
		return value
	}
	source := rand.New(rand.NewSource(int64(number(1))))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	maker := &maker{source}
	for range number(2) {
		text := maker.template()
		// Go would count to the end.
		endless := strings.Contains(text, "range") && strings.Contains(text, "922337203685477580")
		if !utf8.ValidString(text) || endless {
			continue
		}
		if result, ok := execute(text); ok {
			encoder.Encode(result)
		}
	}
	for range number(3) {
		text := maker.url()
		if !utf8.ValidString(text) {
			continue
		}
		result := answer{URL: &text}
		if parsed, err := url.Parse(text); err != nil {
			result.Fault = "parse"
		} else if written := parsed.String(); utf8.ValidString(written) {
			result.Text = &written
		} else {
			continue
		}
		encoder.Encode(result)
	}
}

func execute(text string) (answer, bool) {
	result := answer{Template: &text}
	parsed, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		result.Fault = "parse"
		return result, true
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		result.Fault = "execute"
		return result, true
	}
	written := out.String()
	result.Text = &written
	return result, utf8.ValidString(written)
}

type maker struct{ *rand.Rand }

func (m *maker) one(choices ...string) string { return choices[m.Intn(len(choices))] }

func (m *maker) template() string {
	var text strings.Builder
	if m.Intn(8) == 0 {
		text.WriteString(m.one(`{{define "t"}}<{{.}}>{{end}}`, `{{ define "t" }}{{ with . }}{{ . }}{{ end }}{{ end }}`, `{{define "t"}} {{end}}`))
	}
	for range 1 + m.Intn(4) {
		text.WriteString(m.node(2))
	}
	made := text.String()
	if m.Intn(12) == 0 && len(made) > 0 {
		made = m.damage(made)
	}
	return made
}

// damage takes a character out, doubles one, or puts another in.
func (m *maker) damage(text string) string {
	runes := []rune(text)
	at := m.Intn(len(runes))
	switch m.Intn(3) {
	case 0:
		return string(runes[:at]) + string(runes[at+1:])
	case 1:
		return string(runes[:at]) + string(runes[at]) + string(runes[at:])
	default:
		return string(runes[:at]) + m.one(" ", "-", ".", "|", "(", ")", "{", "}", "$", `"`, "`", "'", ",", "=", ":", "1", "x", "\n") + string(runes[at:])
	}
}

func (m *maker) open() string  { return m.one("{{", "{{ ", "{{ ", "{{- ", "{{  ") }
func (m *maker) close() string { return m.one("}}", " }}", " }}", " -}}", "  -}}", "\n}}") }

func (m *maker) node(depth int) string {
	if depth == 0 {
		return m.one("text", " ", "\n", "/", m.open()+m.pipeline(1)+m.close())
	}
	body := func() string {
		var text strings.Builder
		for range m.Intn(3) {
			text.WriteString(m.node(depth - 1))
		}
		return text.String()
	}
	end := func() string { return m.open() + "end" + m.close() }
	switch m.Intn(16) {
	case 0, 1:
		return m.one("text", " x ", "\n", "/", "}}", "{", "\u00e9", "\t")
	case 2:
		return m.open() + "if " + m.pipeline(2) + m.close() + body() + end()
	case 3:
		return m.open() + "if " + m.pipeline(2) + m.close() + body() + "{{else}}" + body() + end()
	case 4:
		return m.open() + "if " + m.pipeline(2) + m.close() + body() + "{{ else if " + m.pipeline(2) + "}}" + body() + "{{else}}" + body() + end()
	case 5:
		return m.open() + m.one("with ", "with $x := ") + m.pipeline(2) + m.close() + body() + m.one("", "{{else}}"+body(), "{{else with "+m.pipeline(1)+"}}"+body()) + end()
	case 6:
		if m.Intn(2) == 0 {
			return m.open() + "range $k, $v := " + m.one(".", "$", ".a", "3") + m.close() + body() + m.one("{{$k}}={{$v}}", "{{$k}}{{break}}", "{{if eq . `beta`}}{{continue}}{{end}}{{$v}}") + end()
		}
		return m.open() + m.one("range ", "range $v := ", "range $x, $v := ") + m.one(".", "$", "3", "0", "-1", ".a", "nil", m.pipeline(1)) + m.close() +
			body() + m.one("", "{{.}}", "{{break}}", "{{if eq . `beta`}}{{continue}}{{end}}") + m.one("", "{{else}}"+body()) + end()
	case 7:
		return m.open() + m.one("$x := ", "$y := ", "$x = ", "$x:=", "$ = ") + m.pipeline(2) + m.close()
	case 8:
		if m.Intn(2) == 0 {
			return m.open() + m.one("block `b1` ", `block "b2" `) + m.pipeline(1) + m.close() + body() + end()
		}
		return m.open() + m.one("template `t` ", `template "t"`, `template "b1"`) + m.one("", m.pipeline(1)) + m.close()
	case 9:
		return m.one("{{/* note */}}", "{{- /* note */ -}}", "{{/* a\nb */ -}}", "{{- /**/}}")
	default:
		return m.open() + m.pipeline(2) + m.close()
	}
}

func (m *maker) pipeline(depth int) string {
	made := m.command(depth)
	for m.Intn(4) == 0 {
		made += m.one("|", " | ", " | ") + m.one("print", "printf `%s`", "len", "not", "html", "js", "urlquery", "eq .a", "index .", "or", "and", "println", m.command(depth-1))
	}
	return made
}

func (m *maker) command(depth int) string {
	if m.Intn(3) == 0 {
		return m.operand(depth)
	}
	arguments := func(count int) string {
		var text strings.Builder
		for range count {
			text.WriteString(m.one(" ", " ", "  ") + m.operand(depth-1))
		}
		return text.String()
	}
	name := m.one("and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "print", "printf", "println",
		"html", "js", "urlquery", "eq", "index", "or", "printf")
	switch name {
	case "not", "len":
		return name + arguments(m.sometimes(1))
	case "ne", "lt", "le", "gt", "ge":
		return name + arguments(m.sometimes(2))
	case "eq":
		return name + arguments(m.sometimes(2+m.Intn(2)))
	case "index":
		return name + m.one(" .", " .", " $", " .a", "") + m.one(` "x.y/z"`, " `a`", " `nothing`", " 1", arguments(1), arguments(2))
	case "slice":
		return name + " " + m.operand(0) + m.one("", " 0", " 1", " 1 3", " 2 1", " 9", arguments(1))
	case "printf":
		return name + " " + m.format() + arguments(m.Intn(3))
	}
	return name + arguments(m.Intn(4))
}

// sometimes is the count, or rarely another.
func (m *maker) sometimes(count int) int {
	if m.Intn(10) == 0 {
		return m.Intn(4)
	}
	return count
}

func (m *maker) format() string {
	directive := "%" + m.one("", "", "", "-", "+", "0", " ", "-0", "+0") + m.one("", "", "5", "8", "12") + m.one("", "", ".2", ".0", ".10", ".") +
		m.one("s", "s", "d", "q", "v", "x", "X", "t", "%", "c", "U", "f", "e", "g", "G", "E", "b", "o", "O", "T", "y", "")
	return `"` + m.one("", "a ", "\u00e9") + directive + m.one("", "/", "%s", "%d", " %v") + `"`
}

func (m *maker) operand(depth int) string {
	if depth > 0 && m.Intn(4) == 0 {
		return "(" + m.one("", "", "", "$p := ") + m.pipeline(depth-1) + ")" + m.one("", "", "", ".a")
	}
	if m.Intn(30) == 0 {
		return m.one("$x.a", ".a.b", ".b.c", "..", "1i", "1_0.5", "089", "0_1", "9223372036854775808", "18446744073709551616", `"\q"`, "\"x\ny\"", "print", "len", "$x", "-0x1e", "+1", "0x1p4", "1.", ".5", "1e400")
	}
	return m.one(".", "$", ".a", ".a", ".b", ".empty", ".flag", ".n", ".h", ".u", ".ref_type", ".url", "$.a", "$.b", ".nothing", ".a", ".b", ".empty",
		"true", "false", "nil", "0", "1", "7", "-3", "1.5", "1e3", "1e21", "1e6", "0.0001", "1e-5", "-0.5", "123456789.5", "0x1F", "0b11", "0o17", "017", "1_000", "0x1e",
		"'a'", `'\n'`, "'\u00e9'", `'\x41'`, "9223372036854775807",
		`"alpha"`, `"branch"`, `""`, `"7"`, `"a\tb\"c"`, `"\u00e9\x41\101"`, "`raw \\n`", `"<&>"`, "`a\nb`", `"alpha"`, `"beta"`)
}

func (m *maker) url() string {
	if m.Intn(3) == 0 {
		var text strings.Builder
		for range m.Intn(12) {
			text.WriteString(m.piece())
		}
		return text.String()
	}
	made := m.one("https", "http", "HTTPS", "ftp", "x+y", "1a", "", "urn", "mailto") + m.one("://", "://", "://", ":", ":/", ":///", "")
	made += m.one("", "", "", "ada@", "ada:pw@", "a%20b:c%2Fd@", "a b@", "@", "a@b@")
	made += m.one("example.com", "EXAMPLE.com", "example.com:8443", "h", "", "ex\u00e4mple.com", "a b", "[::1]", "[::1]:80", "[fe80::1%25en0]", "[1.2.3.4]", "[::1", "h:", "h:x", "a:b:1", "a%41", "a%C3%A4", "a<b>", "h%25", "[::ffff:1.2.3.4]", "[fe80::1%25]", "[fe80::1%25a%20b]:1", "a[b")
	for range m.Intn(4) {
		made += m.one("/", "/", "//", "") + m.piece() + m.one("", m.piece())
	}
	made += m.one("", "", "", "?", "?a=b", "?a=b c", "?a?b", "??", "?\u00e9")
	made += m.one("", "", "", "#", "#f", "#f g", "#a#b", "#%zz", "#\u00e9!()*", "#!(x)*'")
	return made
}

func (m *maker) piece() string {
	return m.one("a", "b", "widgets", ".", "..", "a b", "%20", "%2F", "%2f", "%", "%4", "%zz", "\u00e9", "'", "\"", "<b>", "`", "*", "!", "(c)", "[d]", "{e}", "|", "\\", "^", "~", "$&+,;=", ":", "@", "x:y", "\n", "\x7f", "/", "?", "#", "%C3%A9", "refs/heads/main", "\U0001f980", string(rune(32+m.Intn(95))))
}
