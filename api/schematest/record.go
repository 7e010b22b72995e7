package schematest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Recorder checks exchanges as they pass and remembers what they covered.
type Recorder struct {
	schema *Schema

	mu     sync.Mutex
	report Report
}

// NewRecorder returns a Recorder with nothing in it.
func NewRecorder(s *Schema) *Recorder {
	return &Recorder{schema: s, report: Report{Links: len(s.links), Covered: map[string]int{}}}
}

// Record checks one exchange.
func (r *Recorder) Record(x Exchange) {
	covered, wrong := r.schema.Check(x)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Exchanges++
	for _, name := range covered {
		r.report.Covered[name]++
	}
	r.report.Wrong = append(r.report.Wrong, wrong...)
}

// Report returns what was found so far.
func (r *Recorder) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	var copied Report
	copied.add(r.report)
	return copied
}

// Transport is a client's transport that records.
func (r *Recorder) Transport(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		sent, err := buffer(&request.Body)
		if err != nil {
			return nil, err
		}
		response, err := base.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		return response, r.record(request, sent, response)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Proxy passes requests on to target, their Host kept, and records those that
// ask for the Platform API.
func (r *Recorder) Proxy(target *url.URL) http.Handler {
	recording := r.Transport(http.DefaultTransport)
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
			p.Out.Host = p.In.Host
		},
		Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
			if strings.Contains(request.Header.Get("Accept"), "application/vnd.heroku+json") {
				return recording.RoundTrip(request)
			}
			return http.DefaultTransport.RoundTrip(request)
		}),
	}
}

// record checks a response that is JSON; others, such as a build's output, are
// streams to be left alone.
func (r *Recorder) record(request *http.Request, sent []byte, response *http.Response) error {
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/") {
		return nil
	}
	received, err := buffer(&response.Body)
	if err != nil {
		return err
	}
	r.Record(Exchange{
		Method: request.Method, Path: request.URL.EscapedPath(), Request: sent,
		Status: response.StatusCode, Header: response.Header, Response: received,
	})
	return nil
}

// buffer reads a body and puts another in its place.
func buffer(body *io.ReadCloser) ([]byte, error) {
	if *body == nil || *body == http.NoBody {
		return nil, nil
	}
	text, err := io.ReadAll(*body)
	(*body).Close()
	*body = io.NopCloser(bytes.NewReader(text))
	return text, err
}
