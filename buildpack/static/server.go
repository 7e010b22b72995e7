package static

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server serves the files of a directory. Names that start with a dot are not
// served, nor is anything outside of the directory.
type Server struct {
	HTTPSPort string // where https is for https_only; default 443

	config Config
	root   *os.Root

	mu    sync.Mutex
	etags map[string]tagged
}

type tagged struct {
	size    int64
	modTime time.Time
	etag    string
}

// New returns a server of dir's files.
func New(dir string, config Config) (*Server, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if config.ErrorPage == "" {
		config.ErrorPage = "404.html"
	}
	return &Server{config: config, root: root, etags: map[string]tagged{}}, nil
}

// Close closes the directory.
func (s *Server) Close() error { return s.root.Close() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.config.HTTPSOnly && r.Header.Get("X-Forwarded-Proto") == "http" {
		s.redirectToHTTPS(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := path.Clean("/" + r.URL.Path)
	if hidden(name) || strings.ContainsAny(name, "\x00\\") {
		s.notFound(w, r)
		return
	}
	slash := strings.HasSuffix(r.URL.Path, "/")
	f, st, isIndex := s.open(name)
	switch {
	case f == nil:
		s.notFound(w, r)
		return
	case isIndex && !slash:
		redirect(w, r, dirSlash(name, true))
	case !isIndex && slash, name+"/" != r.URL.Path && name != r.URL.Path:
		redirect(w, r, dirSlash(name, isIndex))
	default:
		s.serve(w, r, f, st)
	}
	f.Close()
}

func dirSlash(name string, isIndex bool) string {
	if isIndex && name != "/" {
		return name + "/"
	}
	return name
}

// redirect goes to a path of this site; name is clean, so it cannot name
// another host ("//host").
func redirect(w http.ResponseWriter, r *http.Request, name string) {
	u := *r.URL
	u.Path, u.RawPath, u.Scheme, u.Host, u.User, u.Opaque = name, "", "", "", nil, ""
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusMovedPermanently)
}

// redirectToHTTPS goes to the same URL by https, at its own port.
func (s *Server) redirectToHTTPS(w http.ResponseWriter, r *http.Request) {
	u := *r.URL
	u.Scheme, u.Host, u.User, u.Opaque = "https", (&url.URL{Host: r.Host}).Hostname(), nil, ""
	if s.HTTPSPort != "" {
		u.Host = net.JoinHostPort(u.Host, s.HTTPSPort)
	}
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusMovedPermanently)
}

func hidden(name string) bool {
	return strings.Contains(name, "/.") && !strings.HasPrefix(name, "/.well-known/")
}

// open finds the file for a path: itself, a directory's index.html, or the file
// with .html added.
func (s *Server) open(name string) (f *os.File, st fs.FileInfo, isIndex bool) {
	rel := strings.TrimPrefix(name, "/")
	if rel == "" {
		rel = "."
	}
	if f, st := s.openFile(path.Join(rel, "index.html")); f != nil {
		return f, st, true
	}
	if f, st := s.openFile(rel); f != nil {
		return f, st, false
	}
	if rel != "." && (s.config.CleanURLs == nil || *s.config.CleanURLs) {
		f, st := s.openFile(rel + ".html")
		return f, st, false
	}
	return nil, nil, false
}

func (s *Server) openFile(rel string) (*os.File, fs.FileInfo) {
	// Opening a pipe would wait for its writer.
	if st, err := s.root.Stat(rel); err != nil || !st.Mode().IsRegular() {
		return nil, nil
	}
	f, err := s.root.Open(rel)
	if err != nil {
		return nil, nil
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, nil
	}
	return f, st
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	if page := s.config.Routes["/**"]; page != "" {
		if f, st := s.openFile(strings.TrimPrefix(path.Clean("/"+page), "/")); f != nil {
			defer f.Close()
			s.serve(w, r, f, st)
			return
		}
	}
	f, st := s.openFile(strings.TrimPrefix(path.Clean("/"+s.config.ErrorPage), "/"))
	if f == nil {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.FormatInt(st.Size(), 10))
	w.WriteHeader(http.StatusNotFound)
	if r.Method == http.MethodGet {
		io.Copy(w, f)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, f *os.File, st fs.FileInfo) {
	etag, err := s.etag(f, st)
	if err != nil {
		http.Error(w, "Internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // may be kept, but must be asked for again by its ETag
	h.Set("X-Content-Type-Options", "nosniff")
	kind := mime.TypeByExtension(path.Ext(f.Name()))
	if kind != "" {
		h.Set("Content-Type", kind)
	}
	if compressible(kind) && st.Size() >= 1024 {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r) && r.Header.Get("Range") == "" {
			s.serveGzip(w, r, f, etag)
			return
		}
	}
	h.Set("ETag", `"`+etag+`"`)
	// A slug's files are dated 1970, which ServeContent takes for no date.
	http.ServeContent(w, r, f.Name(), st.ModTime(), f)
}

func (s *Server) serveGzip(w http.ResponseWriter, r *http.Request, f *os.File, etag string) {
	h := w.Header()
	tag := `"` + etag + `-gzip"`
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Encoding", "gzip")
	if r.Method == http.MethodHead {
		return
	}
	z := gzip.NewWriter(w)
	defer z.Close()
	io.Copy(z, f)
}

// etag is the hash of the file's content, computed once.
func (s *Server) etag(f *os.File, st fs.FileInfo) (string, error) {
	s.mu.Lock()
	t, ok := s.etags[f.Name()]
	s.mu.Unlock()
	if ok && t.size == st.Size() && t.modTime.Equal(st.ModTime()) {
		return t.etag, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	t = tagged{st.Size(), st.ModTime(), hex.EncodeToString(h.Sum(nil)[:12])}
	s.mu.Lock()
	s.etags[f.Name()] = t
	s.mu.Unlock()
	return t.etag, nil
}

func compressible(kind string) bool {
	kind, _, _ = strings.Cut(kind, ";")
	switch kind {
	case "application/javascript", "application/json", "application/manifest+json", "application/wasm",
		"application/xml", "image/svg+xml":
		return true
	}
	return strings.HasPrefix(kind, "text/")
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if !ok {
			return true
		}
		v, err := strconv.ParseFloat(q, 64)
		return err == nil && v > 0
	}
	return false
}
