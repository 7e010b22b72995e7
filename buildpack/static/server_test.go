package static_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/buildpack/static"
)

func site(t *testing.T, config static.Config) *static.Server {
	top := t.TempDir()
	dir := filepath.Join(top, "site")
	for name, text := range map[string]string{
		"../secret": "secret", "index.html": "<h1>home</h1>", "about.html": "about", "docs/index.html": "docs", "docs/a.txt": "0123456789",
		".env": "secret", ".git/config": "secret", ".well-known/x": "known", "404.html": "lost", "big.css": strings.Repeat("a{}", 1000), "empty/x.bin": "",
		"team.html": "team", "team/ann.html": "ann",
	} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(path, time.Unix(0, 0), time.Unix(0, 0)) // as in a slug
	}
	os.Symlink("../secret", filepath.Join(dir, "out"))
	os.Symlink("/etc/passwd", filepath.Join(dir, "passwd"))
	s, err := static.New(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func get(s http.Handler, target string, headers ...string) *http.Response {
	r := httptest.NewRequest("GET", "/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func TestPathsAndFiles(t *testing.T) {
	s := site(t, static.Config{})
	for target, want := range map[string]string{
		"/":                    "200 <h1>home</h1>",
		"/about":               "200 about",
		"/about.html":          "200 about",
		"/docs/":               "200 docs",
		"/docs/a.txt":          "200 0123456789",
		"/.well-known/x":       "200 known",
		"/docs":                "301 /docs/",
		"/docs?a=b":            "301 /docs/?a=b",
		"/about/":              "301 /about",
		"//docs//":             "301 /docs/",
		"//evil.example/..":    "301 /",
		"/team":                "200 team",
		"/team/":               "301 /team",
		"/team/ann":            "200 ann",
		"/empty/":              "404 lost",
		"/nothing":             "404 lost",
		"/.env":                "404 lost",
		"/.git/config":         "404 lost",
		"/docs/../.env":        "404 lost",
		"/../secret":           "404 lost",
		"/out":                 "404 lost",
		"/passwd":              "404 lost",
		"/a\x00b":              "404 lost",
		`/..\secret`:           "404 lost",
		"/.well-known/../.env": "404 lost",
	} {
		resp := get(s, target)
		body, _ := io.ReadAll(resp.Body)
		got := resp.Status[:4] + string(body) + resp.Header.Get("Location")
		if got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

func TestConditionsAndRanges(t *testing.T) {
	s := site(t, static.Config{})
	resp := get(s, "/docs/a.txt")
	etag := resp.Header.Get("ETag")
	if etag == "" || resp.Header.Get("Last-Modified") != "" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%v", resp.Header)
	}
	if resp := get(s, "/docs/a.txt", "If-None-Match", etag); resp.StatusCode != http.StatusNotModified {
		t.Error(resp.Status)
	}
	resp = get(s, "/docs/a.txt", "Range", "bytes=2-4")
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusPartialContent || string(body) != "234" {
		t.Errorf("%s %q", resp.Status, body)
	}
	if resp := get(s, "/docs/a.txt", "Range", "bytes=20-"); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Error(resp.Status)
	}
	r := httptest.NewRequest("POST", "/", nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Error(w.Code)
	}
}

func TestCompression(t *testing.T) {
	s := site(t, static.Config{})
	resp := get(s, "/big.css", "Accept-Encoding", "br, gzip;q=0.5")
	if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v", resp.Header)
	}
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(z); len(body) != 3000 {
		t.Errorf("%d bytes", len(body))
	}
	if again := get(s, "/big.css", "Accept-Encoding", "gzip", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Error(again.Status)
	}
	for _, refuses := range []string{"", "br", "gzip;q=0", "gzip; q=0.0"} {
		if resp := get(s, "/big.css", "Accept-Encoding", refuses); resp.Header.Get("Content-Encoding") != "" || resp.ContentLength == 0 {
			t.Errorf("%q: %v", refuses, resp.Header)
		}
	}
}

func TestSinglePageApps(t *testing.T) {
	s := site(t, static.Config{Routes: map[string]string{"/**": "index.html"}})
	resp := get(s, "/any/where")
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != "<h1>home</h1>" {
		t.Errorf("%s %s", resp.Status, body)
	}
}

func TestHTTPSOnly(t *testing.T) {
	s := site(t, static.Config{HTTPSOnly: true})
	if resp := get(s, "/docs/?a=b", "X-Forwarded-Proto", "http"); resp.StatusCode != 301 || resp.Header.Get("Location") != "https://example.com/docs/?a=b" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	if resp := get(s, "/", "X-Forwarded-Proto", "https"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	s.HTTPSPort = "8443"
	if resp := get(s, "/docs/?a=b", "X-Forwarded-Proto", "http"); resp.Header.Get("Location") != "https://example.com:8443/docs/?a=b" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
}

func TestConfigsThatCannotBeKept(t *testing.T) {
	for text, want := range map[string]string{
		`{"basic_auth": true}`:                   "basic_auth is not supported",
		`{"basic_auth": {"user": "x"}}`:          "basic_auth is not supported",
		`{"https_only": "yes"}`:                  "https_only",
		`{"routes": {"/api": "x"}}`:              "only /** is supported",
		`{"basic_auth": false, "headers": {}}`:   "",
		`{"redirects": {}, "canonical_host": 1}`: "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, static.ConfigFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := static.ReadConfig(dir)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzPaths(f *testing.F) {
	for _, s := range []string{"/", "//x", "/..", "/%2e%2e/secret", "/docs/../../secret", "/\\", "/docs/."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") {
			return
		}
		resp := get(site(t, static.Config{}), target)
		body, _ := io.ReadAll(resp.Body)
		if strings.Contains(string(body), "secret") || strings.HasPrefix(resp.Header.Get("Location"), "//") {
			t.Errorf("%q: %s %s", target, body, resp.Header.Get("Location"))
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"root": "dist", "clean_urls": false, "error_page": "e.html", "routes": {"/**": "index.html"}}`))
	f.Add([]byte(`{"routes": {"/api": "x"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, static.ConfigFile), text, 0o644); err != nil {
			t.Fatal(err)
		}
		if c, err := static.ReadConfig(dir); err == nil && len(c.Routes) > 1 {
			t.Errorf("%q", c.Routes)
		}
	})
}
