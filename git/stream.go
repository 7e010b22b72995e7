package git

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// fetchRequestLimit bounds what a client may send to fetch: lists of
	// objects it has and wants. In bytes, unpacked.
	fetchRequestLimit = 64 << 20
	// pushSlack is what may come with a pack: ref updates and the like. The
	// pack itself is measured by git, which can say so to the client.
	pushSlack = 16 << 20
	// stall ends a request or an answer on which nothing moves.
	stall = 2 * time.Minute
)

// inputLimit bounds what a client may send, through either door.
func (s *Server) inputLimit(service service) int64 {
	if service == receivePack {
		return s.PushLimit + pushSlack
	}
	return fetchRequestLimit
}

// requestBody is the body of a request, bounded, unpacked if it is gzip.
func requestBody(w http.ResponseWriter, r *http.Request, limit int64) (io.Reader, error) {
	var body io.Reader = &patient{r: r.Body, control: http.NewResponseController(w)}
	switch r.Header.Get("Content-Encoding") {
	case "":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	default:
		return nil, errors.New("unknown Content-Encoding")
	}
	return io.LimitReader(body, limit), nil
}

// patient reads from a connection with a deadline for each read.
type patient struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	p.control.SetReadDeadline(time.Now().Add(stall))
	n, err := p.r.Read(b)
	if err != nil { // from now on the server only watches for the client's end
		p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// answer sends what git says at once, after a prefix.
type answer struct {
	w       io.Writer
	control *http.ResponseController
	prefix  string
	sent    bool
}

func (a *answer) Write(b []byte) (int, error) {
	a.control.SetWriteDeadline(time.Now().Add(stall))
	if !a.sent {
		a.sent = true
		if _, err := io.WriteString(a.w, a.prefix); err != nil {
			return 0, err
		}
	}
	n, err := a.w.Write(b)
	if err == nil {
		err = a.control.Flush()
	}
	return n, err
}
