package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

//go:embed style.css
var style []byte

// A page of the documentation.
type page struct {
	Name  string // below /docs/
	Title string
	Body  template.HTML
	All   []*page
	Home  bool
}

var layout = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} · Godwit</title>
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<nav aria-label="Pages">{{$name := .Name}}<a href="/">Godwit</a>{{range .All}} <a href="/docs/{{.Name}}"{{if eq .Name $name}} aria-current="page"{{end}}>{{.Title}}</a>{{end}}</nav>
<main>
{{.Body}}</main>
</body>
</html>
`))

// front is what / says.
const front = `<h1>Godwit</h1>
<p>This is a push-messaging broker: messages to phone numbers are pushed to the app over MQTT, and sent as an SMS where no device answers.</p>
<ul>
<li><a href="/docs/">The documentation</a></li>
<li><a href="/openapi.json">The description of the HTTP interface</a> (OpenAPI 3.1)</li>
</ul>
`

// pages mounts the documentation, and a front page that leads to it.
func (a *API) pages(s *site, files fs.FS) error {
	all, err := render(files)
	if err != nil {
		return err
	}
	for _, p := range all {
		var html bytes.Buffer
		if err := layout.Execute(&html, p); err != nil {
			return fmt.Errorf("docs: %s: %w", p.Name, err)
		}
		at := "GET /docs/" + p.Name
		switch {
		case p.Home:
			at = "GET /{$}"
		case p.Name == "":
			at = "GET /docs/{$}"
		}
		s.handle(at, static("text/html; charset=utf-8", html.Bytes()))
	}
	s.handle("GET /docs/style.css", static("text/css; charset=utf-8", style))
	return nil
}

// static answers with what never changes while the program runs.
func static(contentType string, b []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(b)
	})
}

// repository is where those files are that are no pages.
const repository = "https://github.com/seed-7a41469f/godwit/blob/main/"

// render makes pages of Markdown files, with an index of them and a front page.
func render(files fs.FS) (all []*page, err error) {
	names, err := fs.Glob(files, "*/*.md")
	if err != nil {
		return nil, err
	}
	var list strings.Builder
	list.WriteString("<h1>Documentation</h1>\n<ul>\n")
	for _, name := range append([]string{"README.md"}, names...) {
		p, err := pageOf(files, name)
		if err != nil {
			return nil, fmt.Errorf("docs: %s: %w", name, err)
		}
		fmt.Fprintf(&list, "<li><a href=\"/docs/%s\">%s</a></li>\n", p.Name, template.HTMLEscapeString(p.Title))
		all = append(all, p)
	}
	list.WriteString("</ul>\n")
	nav := all
	all = append(all, &page{Title: "Documentation", Body: template.HTML(list.String())}, &page{Title: "Push, or SMS", Body: front, Home: true})
	for _, p := range all {
		p.All = nav
	}
	return all, nil
}

// pageName is how a file is called below /docs/.
func pageName(file string) string { return strings.ToLower(strings.TrimSuffix(path.Base(file), ".md")) }

// pageOf renders a file. HTML in it is left out.
func pageOf(files fs.FS, name string) (*page, error) {
	source, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	root := md.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(anchors{}))))
	p := &page{Name: pageName(name)}
	err = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Heading:
			if entering && p.Title == "" {
				p.Title = string(n.Lines().Value(source))
			}
		case *ast.Link:
			if entering {
				n.Destination = []byte(linkFrom(files, name, string(n.Destination)))
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, err
	}
	var html bytes.Buffer
	if err := md.Renderer().Render(&html, source, root); err != nil {
		return nil, err
	}
	p.Body = template.HTML(html.String())
	return p, nil
}

// linkFrom is where a link in a file leads: to a page of ours, or to the repository.
func linkFrom(files fs.FS, file, to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Path == "" {
		return to
	}
	target := path.Join(path.Dir(file), u.Path)
	if _, err := fs.Stat(files, target); err == nil && strings.HasSuffix(target, ".md") {
		u.Path = "/docs/" + pageName(target)
		return u.String()
	}
	u.Path = ""
	return repository + strings.TrimPrefix(target, "/") + u.String()
}

// anchors names headings as code hosts do.
type anchors map[string]bool

// Generate implements parser.IDs.
func (a anchors) Generate(value []byte, _ ast.NodeKind) []byte {
	base := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, string(value))
	id := base
	for n := 1; a[id]; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	a[id] = true
	return []byte(id)
}

// Put implements parser.IDs.
func (a anchors) Put(value []byte) { a[string(value)] = true }
