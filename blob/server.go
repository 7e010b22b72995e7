package blob

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// User is who may sign URLs of a file store, and for what.
type User struct {
	Secret string
	Read   []string // prefixes of keys it may get, stat and list
	Write  []string // prefixes of keys it may put and delete
}

// Server serves Files over HTTP to who has a signed URL.
type Server struct {
	files *Files
	users map[string]User
	log   *slog.Logger
	now   func() time.Time

	mu    sync.Mutex
	sound map[soundness]time.Time // when a file was last verified
}

type soundness struct {
	ino     uint64
	modTime int64
}

// soundFor is how long a file is believed sound after it was read, so that a
// reader of many ranges does not have the whole of it read each time.
const soundFor = time.Minute

// NewServer returns a handler for the store. Users are never changed.
func NewServer(files *Files, users map[string]User, log *slog.Logger) *Server {
	return &Server{files: files, users: users, log: log, now: time.Now, sound: map[soundness]time.Time{}}
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := s.serve(w, r)
	if err == nil {
		return
	}
	e, ok := hoist.AsError(err)
	if !ok || e.Status >= 500 {
		s.log.Error("blobs", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if !ok {
		e = &hoist.Error{ID: "internal_server_error", Status: http.StatusInternalServerError, Message: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	json.NewEncoder(w).Encode(map[string]string{"id": e.ID, "message": e.Message})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	t, err := s.authorize(r)
	if err != nil {
		return err
	}
	switch t.method {
	case http.MethodGet, http.MethodHead:
		return s.get(w, r, t.key)
	case http.MethodPut:
		sum, err := s.put(r, t)
		if err != nil {
			return err
		}
		w.Header().Set("ETag", sum)
		w.WriteHeader(http.StatusCreated)
		return nil
	case http.MethodDelete:
		if err := s.files.remove(t.key); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case methodList:
		return s.list(w, r, t.key)
	}
	return &hoist.Error{ID: "method_not_allowed", Status: http.StatusMethodNotAllowed, Message: "GET, HEAD, PUT or DELETE."}
}

// authorize checks the signature, and that its user may do what it signed.
func (s *Server) authorize(r *http.Request) (ticket, error) {
	t, sig, err := parseTicket(r.Method, r.URL)
	if err != nil {
		return t, &hoist.Error{ID: "unauthorized", Status: http.StatusUnauthorized, Message: "Not a signed URL: " + err.Error()}
	}
	user, ok := s.users[t.user]
	if !t.verify(sig, user.Secret) || !ok || user.Secret == "" {
		return t, &hoist.Error{ID: "forbidden", Status: http.StatusForbidden, Message: "The URL's signature is wrong for this method and key."}
	}
	if t.expired(s.now()) {
		return t, &hoist.Error{ID: "expired", Status: http.StatusForbidden, Message: "The URL has expired."}
	}
	check, prefixes := CheckKey, user.Read
	switch t.method {
	case methodList:
		check = checkPrefix
	case http.MethodPut, http.MethodDelete:
		prefixes = user.Write
	}
	if err := check(t.key); err != nil {
		return t, err
	}
	for _, p := range prefixes {
		if strings.HasPrefix(t.key, p) {
			return t, nil
		}
	}
	return t, &hoist.Error{ID: "forbidden", Status: http.StatusForbidden,
		Message: "User " + t.user + " may not " + t.method + " " + t.key + "."}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string) error {
	f, err := s.files.open(key)
	if err != nil {
		return err
	}
	defer f.Close()
	if r.Method == http.MethodGet {
		if err := s.verify(f); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+f.etag()+`"`)
	http.ServeContent(w, r, "", f.info.ModTime, f.content())
	return nil
}

// verify reads a file that was not verified lately before any of it is sent;
// it is sent from the page cache then.
func (s *Server) verify(f *file) error {
	id := soundness{f.ino, f.info.ModTime.UnixNano()}
	now := s.now()
	s.mu.Lock()
	last := s.sound[id]
	s.mu.Unlock()
	if now.Sub(last) < soundFor {
		return nil
	}
	if err := f.verify(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range s.sound {
		if now.Sub(t) >= soundFor {
			delete(s.sound, id)
		}
	}
	s.sound[id] = now
	return nil
}

func (s *Server) put(r *http.Request, t ticket) (etag string, err error) {
	sum, err := s.files.put(t.key, r.Body, r.ContentLength, t.limit)
	if err != nil {
		// Who still sends would get a reset connection, not the answer.
		io.CopyN(io.Discard, r.Body, 16<<20)
		return "", err
	}
	return `"` + hexSum(sum) + `"`, nil
}

// list writes a JSON object a line and, to tell a whole list from one broken
// off, "{}" at the end.
func (s *Server) list(w http.ResponseWriter, r *http.Request, prefix string) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	sent := false
	err := s.files.list(r.Context(), prefix, func(info hoist.BlobInfo) error {
		sent = true
		return enc.Encode(listing{Key: info.Key, Size: info.Size, ModTime: info.ModTime})
	})
	if err != nil && sent {
		if !errors.Is(err, r.Context().Err()) {
			s.log.Error("blobs: list", "prefix", prefix, "err", err)
		}
		panic(http.ErrAbortHandler)
	} else if err != nil {
		return err
	}
	return enc.Encode(listing{})
}

type listing struct {
	Key     string    `json:"key,omitempty"`
	Size    int64     `json:"size,omitempty"`
	ModTime time.Time `json:"mod_time,omitzero"`
}
