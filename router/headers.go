package router

import (
	"bufio"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist/router/http1"
)

// via is how we sign what passes through (RFC 9110, section 7.6.3).
const via = "1.1 hoist"

// forwarded is what the dyno is told of the client. Heroku appends to
// X-Forwarded-For and replaces the others
// (https://devcenter.heroku.com/articles/http-routing#heroku-headers).
type forwarded struct {
	client    string // X-Forwarded-For, with what the client said before it
	proto     string // "http" or "https"
	port      string
	requestID string
	start     int64 // Unix milliseconds
}

// hopByHop are the headers that concern one connection only (RFC 9110, section
// 7.6.1; RFC 7540, section 3.2.1), beside those a Connection header names.
var hopByHop = []string{"Connection", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
	"Proxy-Authorization", "Te", "Transfer-Encoding", "Upgrade"}

// stripHopByHop removes them and returns the protocol the message asks to
// switch to, if it does. HTTP/2 is none: its requests would go past us, with headers that only we may write.
func stripHopByHop(h http.Header) (upgrade string) {
	connection := h["Connection"]
	for _, v := range connection {
		if http1.HasToken(v, "upgrade") {
			upgrade = strings.Join(h["Upgrade"], ", ")
		}
	}
	if http1.HasToken(upgrade, "h2c") {
		upgrade = ""
	}
	for _, v := range connection {
		for v != "" {
			var name string
			name, v, _ = strings.Cut(v, ",")
			if name = strings.Trim(name, " \t"); name != "" && !strings.EqualFold(name, "close") && !strings.EqualFold(name, "keep-alive") {
				delete(h, http.CanonicalHeaderKey(name))
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
	return upgrade
}

// ours reports whether a header is written by us alone.
func ours(name string) bool {
	switch name {
	case "Content-Length", "Host", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Request-Id", "X-Request-Start":
		return true
	}
	return false
}

// impostor reports whether a name is taken for one of ours, or for one that says where a
// message ends, by all that make variables of headers, as CGI and WSGI do: X_Forwarded_For.
func impostor(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	return ours(name) || slices.Contains(hopByHop, name)
}

// writeHead writes a request's head to a dyno. r's headers are free of
// hop-by-hop ones.
func writeHead(b *bufio.Writer, r *http.Request, f *forwarded, upgrade string) {
	b.WriteString(r.Method)
	b.WriteByte(' ')
	b.WriteString(r.RequestURI)
	b.WriteString(" HTTP/1.1\r\nHost: ")
	b.WriteString(r.Host)
	b.WriteString("\r\n")
	chain := via
	for name, values := range r.Header {
		if name == "Via" {
			chain = strings.Join(values, ", ") + ", " + via
		}
		if ours(name) || impostor(name) {
			continue
		}
		for _, v := range values {
			http1.WriteField(b, name, v)
		}
	}
	http1.WriteField(b, "X-Forwarded-For", f.client)
	http1.WriteField(b, "X-Forwarded-Proto", f.proto)
	http1.WriteField(b, "X-Forwarded-Port", f.port)
	http1.WriteField(b, "X-Request-Id", f.requestID)
	var digits [20]byte
	b.WriteString("X-Request-Start: ")
	b.Write(strconv.AppendInt(digits[:0], f.start, 10))
	b.WriteString("\r\n")
	http1.WriteField(b, "Via", chain)
	switch {
	case r.ContentLength < 0:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case r.ContentLength > 0 || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		b.WriteString("Content-Length: ")
		b.Write(strconv.AppendInt(digits[:0], r.ContentLength, 10))
		b.WriteString("\r\n")
	}
	if upgrade != "" {
		b.WriteString("Connection: Upgrade\r\n")
		http1.WriteField(b, "Upgrade", upgrade)
	}
	b.WriteString("\r\n")
}

// forwardedFor appends the client's address to what it says of who it is.
func forwardedFor(h http.Header, ip string) string {
	said := h["X-Forwarded-For"]
	if len(said) == 0 {
		return ip
	}
	return strings.Join(said, ", ") + ", " + ip
}

// validRequestID is Heroku's rule for an X-Request-Id of the client's to be
// kept (https://devcenter.heroku.com/articles/http-request-id).
func validRequestID(id string) bool {
	if len(id) < 20 || len(id) > 200 {
		return false
	}
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("+/=_-", c) >= 0:
		default:
			return false
		}
	}
	return true
}
