// Package http1 is a strict HTTP/1 server for proxies. Where net/http mends
// what a client sends (bare line feeds, folded lines, a Content-Length beside
// a Transfer-Encoding), this refuses it: whatever two programs may read
// differently is how requests are smuggled (RFC 9112, section 11.2).
package http1

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// Error is a request that is refused, with the status that says so.
type Error struct {
	Status int
	Reason string
}

func (e *Error) Error() string { return e.Reason }

func bad(reason string) *Error { return &Error{http.StatusBadRequest, reason} }

// Limits of a request's head, in bytes and lines.
type Limits struct {
	Line   int // the request line, and each header line
	Head   int // all of them
	Fields int // header lines
}

// DefaultLimits are Heroku's: 8192 bytes a line, 1000 header lines
// (https://devcenter.heroku.com/articles/http-routing), 64 KB in all.
var DefaultLimits = Limits{Line: 8192, Head: 64 << 10, Fields: 1000}

// headEnd returns the length of the head at the start of b, with its empty
// line; 0 if it is not complete. A bare line feed ends lines too, so that the
// parser sees and refuses it instead of waiting for more. from is how much of
// b an earlier call has seen.
func headEnd(b []byte, from int) int {
	for i := max(from-3, 0); i < len(b); i++ {
		if b[i] != '\n' {
			continue
		}
		if i+1 < len(b) && b[i+1] == '\n' {
			return i + 2
		}
		if i+2 < len(b) && b[i+1] == '\r' && b[i+2] == '\n' {
			return i + 3
		}
	}
	return 0
}

// parseHead reads a request's head into r: Method, RequestURI, URL (split, not
// decoded), Proto, Host, Header, TransferEncoding, ContentLength, Close.
func parseHead(head string, limits Limits, r *http.Request) error {
	line, rest, err := cutLine(head)
	if err != nil {
		return err
	}
	if len(line) > limits.Line {
		return &Error{http.StatusRequestURITooLong, "The request line is too long."}
	}
	if err := parseRequestLine(line, r); err != nil {
		return err
	}
	fields, err := parseFields(rest, limits)
	if err != nil {
		return err
	}
	r.Header = fields
	if err := parseHost(r); err != nil {
		return err
	}
	return parseFraming(r)
}

// cutLine takes the first line off s. Only CR LF ends a line.
func cutLine(s string) (line, rest string, err error) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", bad("Lines must end with CR LF.")
	}
	line = s[:i-1]
	if strings.IndexByte(line, '\r') >= 0 {
		return "", "", bad("A line holds a bare CR.")
	}
	return line, s[i+1:], nil
}

func parseRequestLine(line string, r *http.Request) error {
	method, rest, ok1 := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !isToken(method) || target == "" {
		return bad("The request line is not METHOD TARGET VERSION.")
	}
	switch proto {
	case "HTTP/1.1":
		r.ProtoMinor = 1
	case "HTTP/1.0":
		r.ProtoMinor = 0
	default:
		if strings.HasPrefix(proto, "HTTP/") && len(proto) == len("HTTP/1.1") {
			return &Error{http.StatusHTTPVersionNotSupported, "Only HTTP/1.0, HTTP/1.1 and, by TLS, HTTP/2 are spoken here."}
		}
		return bad("The request line is not METHOD TARGET VERSION.")
	}
	r.Proto, r.ProtoMajor = proto, 1
	if !validTarget(target) {
		return errTarget
	}
	r.Method = method
	switch {
	case method == "CONNECT":
		return errConnect
	case target[0] == '/':
	case target == "*" && method == "OPTIONS":
	default: // absolute-form; its host wins over the Host header (RFC 9112, 3.2.2)
		host, path, err := cutAbsolute(target)
		if err != nil {
			return err
		}
		r.Host, target = host, path
	}
	r.RequestURI = target
	r.URL = &url.URL{}
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	return nil
}

var (
	errConnect = &Error{http.StatusMethodNotAllowed, "This is no forward proxy: CONNECT is not served."}
	errTarget  = bad("The request target holds a character that must be escaped.")
	errHost    = bad("The Host header is not valid.")
	errExpect  = &Error{http.StatusExpectationFailed, "The only expectation served is 100-continue."}
	errLength  = bad("The Content-Length is not one number.")
)

func validTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

func cutAbsolute(target string) (host, path string, err error) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !(strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) {
		return "", "", bad("The request target is neither a path nor an http URL.")
	}
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		host, path = rest, "/"
	} else if host, path = rest[:i], rest[i:]; path[0] == '?' {
		path = "/" + path
	}
	if host == "" || !validHost(host) {
		return "", "", bad("The request target's host is not valid.")
	}
	return host, path, nil
}

// parseFields reads header lines up to the empty line that ends s.
func parseFields(s string, limits Limits) (http.Header, error) {
	n := strings.Count(s, "\n") - 1
	if n > limits.Fields {
		return nil, &Error{http.StatusRequestHeaderFieldsTooLarge, "There are too many header lines."}
	}
	h := make(http.Header, max(n, 0))
	values := make([]string, max(n, 0)) // one allocation for all
	for {
		line, rest, err := cutLine(s)
		if err != nil {
			return nil, err
		}
		if line == "" {
			if rest != "" {
				return nil, bad("Something follows the head's end.")
			}
			return h, nil
		}
		if len(line) > limits.Line {
			return nil, &Error{http.StatusRequestHeaderFieldsTooLarge, "A header line is too long."}
		}
		if line[0] == ' ' || line[0] == '\t' {
			return nil, bad("Folded header lines are obsolete and refused.")
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return nil, bad("A header line is not NAME: VALUE.")
		}
		value = strings.Trim(value, " \t")
		if !validValue(value) {
			return nil, bad("A header's value holds a control character.")
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if old := h[name]; old != nil {
			h[name] = append(old, value)
		} else {
			values[0] = value
			h[name], values = values[:1:1], values[1:]
		}
		s = rest
	}
}

func parseHost(r *http.Request) error {
	hosts := r.Header["Host"]
	delete(r.Header, "Host")
	switch {
	case len(hosts) > 1:
		return bad("There is more than one Host header.")
	case len(hosts) == 1 && !validHost(hosts[0]):
		return errHost
	case len(hosts) == 0 && r.ProtoMinor > 0:
		return bad("There is no Host header.")
	case r.Host == "" && len(hosts) == 1:
		r.Host = hosts[0]
	}
	return nil
}

// parseFraming decides how long the body is (RFC 9112, section 6), refusing
// what could be read in two ways.
func parseFraming(r *http.Request) error {
	lengths, codings := r.Header["Content-Length"], r.Header["Transfer-Encoding"]
	if len(codings) > 0 {
		switch {
		case len(lengths) > 0:
			return bad("Both Content-Length and Transfer-Encoding are given.")
		case r.ProtoMinor == 0:
			return bad("HTTP/1.0 has no Transfer-Encoding.")
		case len(codings) > 1 || !strings.EqualFold(codings[0], "chunked"):
			return &Error{http.StatusNotImplemented, "The only Transfer-Encoding served is chunked."}
		}
		delete(r.Header, "Transfer-Encoding")
		r.TransferEncoding, r.ContentLength = []string{"chunked"}, -1
	} else if len(lengths) > 0 {
		n, ok := parseLength(lengths[0])
		if len(lengths) > 1 || !ok {
			return errLength
		}
		r.ContentLength = n
	}
	keep := r.ProtoMinor > 0
	for _, v := range r.Header["Connection"] {
		if HasToken(v, "close") {
			keep = false
			break
		}
		if r.ProtoMinor == 0 && HasToken(v, "keep-alive") {
			keep = true
		}
	}
	r.Close = !keep
	return nil
}

// parseLength reads digits only: no sign, no space, no list.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// HasToken reports whether a comma-separated header value holds token, in any
// case of letters.
func HasToken(value, token string) bool {
	for value != "" {
		var part string
		part, value, _ = strings.Cut(value, ",")
		if strings.EqualFold(strings.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}

// Kinds of bytes.
const (
	tokenByte = 1 << iota // RFC 9110, 5.6.2
	valueByte             // field-vchar, space and tab
	hostByte              // RFC 3986 reg-name
)

var kinds = func() (t [256]byte) {
	for c := range 256 {
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= valueByte
		}
	}
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" {
		t[c] |= tokenByte | hostByte
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= tokenByte
	}
	for _, c := range "-._~!$&'()*+,;=%" {
		t[c] |= hostByte
	}
	return t
}()

func all(s string, kind byte) bool {
	for i := 0; i < len(s); i++ {
		if kinds[s[i]]&kind == 0 {
			return false
		}
	}
	return true
}

func isToken(s string) bool    { return s != "" && all(s, tokenByte) }
func validValue(s string) bool { return all(s, valueByte) }

// validHost accepts HOST, HOST:PORT and [IPV6]:PORT, where the port may be empty as in a URL.
func validHost(s string) bool {
	host, port, _ := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || len(s) > end+1 && s[end+1] != ':' {
			return false
		}
		host, port = strings.ReplaceAll(s[1:end], ":", ""), s[min(len(s), end+2):]
	}
	return all(host, hostByte) && strings.Trim(port, "0123456789") == ""
}

// ValidFields reports whether all names of a header are tokens and no value holds a
// control character.
func ValidFields(h http.Header) bool {
	for name, values := range h {
		if !isToken(name) {
			return false
		}
		for _, v := range values {
			if !validValue(v) {
				return false
			}
		}
	}
	return true
}
