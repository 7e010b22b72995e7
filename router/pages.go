package router

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

var page = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 17px/1.6 system-ui, sans-serif; background: Canvas; color: CanvasText }
main { max-width: 32rem; padding: 2rem }
h1 { font-size: 1.9rem; font-weight: 600; line-height: 1.2; margin: 0 0 .8rem; letter-spacing: -.01em }
p { margin: 0 0 1.6rem; opacity: .8 }
code { font: .9em ui-monospace, monospace; background: color-mix(in srgb, CanvasText 8%, Canvas); border-radius: .3em; padding: .1em .35em }
footer { font: .78rem ui-monospace, monospace; opacity: .55; border-top: 1px solid; padding-top: .8rem }
</style>
</head>
<body><main>
<h1>{{.Title}}</h1>
<p>{{.Advice}}</p>
<footer>{{.Footer}}</footer>
</main></body>
</html>
`))

// answer writes a failure's page: HTML, JSON or plain text, as the client
// prefers.
func (f *failure) answer(w http.ResponseWriter, r *http.Request, requestID string) (bytes int64) {
	body, kind := f.render(accepted(r.Header["Accept"]), requestID)
	h := w.Header()
	clear(h)
	h["Content-Type"] = []string{kind}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-cache, no-store"}
	h["X-Request-Id"] = []string{requestID}
	if f.code != "" {
		h["X-Hoist-Error"] = []string{f.code}
	}
	if f.status == http.StatusServiceUnavailable {
		h["Retry-After"] = []string{"5"}
	}
	w.WriteHeader(f.status)
	if r.Method == http.MethodHead {
		return 0
	}
	n, _ := w.Write(body)
	return int64(n)
}

func (f *failure) render(kind, requestID string) (body []byte, contentType string) {
	footer := strings.TrimSpace(f.code + " ") // "H10 · 503 · ID"
	if footer != "" {
		footer += " · "
	}
	footer += fmt.Sprintf("%d · %s", f.status, requestID)
	switch kind {
	case "json":
		id := strings.ToLower(strings.ReplaceAll(f.title, " ", "_"))
		body, _ = json.Marshal(map[string]string{"id": strings.Trim(id, ".,'"), "code": f.code,
			"message": f.title + " " + f.advice, "request_id": requestID})
		return append(body, '\n'), "application/json"
	case "html":
		var b bytes.Buffer
		page.Execute(&b, map[string]any{"Title": f.title, "Advice": codeMarks(f.advice), "Footer": footer})
		return b.Bytes(), "text/html; charset=utf-8"
	}
	return []byte(f.title + "\n" + f.advice + "\n" + footer + "\n"), "text/plain; charset=utf-8"
}

// codeMarks makes `x` a code element.
func codeMarks(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String())
}

// accepted says which form a client prefers: "html", "json" or "text" for
// whoever accepts everything, as curl does.
func accepted(accept []string) string {
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		kind, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		switch kind = strings.ToLower(kind); {
		case kind == "text/html" || kind == "application/xhtml+xml":
			return "html"
		case kind == "application/json" || strings.HasSuffix(kind, "+json"):
			return "json"
		case kind == "text/plain":
			return "text"
		}
	}
	return "text"
}
