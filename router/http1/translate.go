package http1

import (
	"net/http"
	"strings"
)

// Translate checks a request that net/http's server read from HTTP/2 and that is going to be
// sent on in HTTP/1.1. There the request line and the headers are text, which that server lets
// hold what would mean something else in them (RFC 9113, section 10.3): a method with a space
// in it becomes a target. It takes away the Host header, for which r.Host stands.
func Translate(r *http.Request, limits Limits) *Error {
	switch {
	case len(r.Method)+len(r.RequestURI)+len("  HTTP/1.1") > limits.Line:
		return &Error{http.StatusRequestURITooLong, "The request line is too long."}
	case !isToken(r.Method):
		return bad("The method is not a word.")
	case r.Method == "CONNECT":
		return errConnect
	case !strings.HasPrefix(r.RequestURI, "/") && (r.RequestURI != "*" || r.Method != "OPTIONS"):
		return bad("The request target is not a path.")
	case !validTarget(r.RequestURI):
		return errTarget
	case r.Host == "":
		return bad("There is no host.")
	case !validHost(r.Host):
		return errHost
	}
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(host, r.Host) {
			return bad("The Host header and :authority are not the same.")
		}
	}
	delete(r.Header, "Host")
	return translateFields(r, limits)
}

func translateFields(r *http.Request, limits Limits) *Error {
	if !ValidFields(r.Header) {
		return bad("A header is not NAME: VALUE.")
	}
	n := 0
	for name, values := range r.Header {
		for _, v := range values {
			if n++; len(name)+len(": ")+len(v) > limits.Line {
				return &Error{http.StatusRequestHeaderFieldsTooLarge, "A header line is too long."}
			}
		}
	}
	if n > limits.Fields {
		return &Error{http.StatusRequestHeaderFieldsTooLarge, "There are too many header lines."}
	}
	if lengths := r.Header["Content-Length"]; len(lengths) > 0 {
		if length, ok := parseLength(lengths[0]); len(lengths) > 1 || !ok || length != r.ContentLength {
			return errLength
		}
	}
	if len(r.Header["Expect"]) > 0 { // the server has taken 100-continue away
		return errExpect
	}
	return nil
}
