package blob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// methodList is the method that signatures of listings name.
const methodList = "LIST"

// ticket is what a signed URL allows: a method on a key until a time, and
// for PUT how many bytes.
type ticket struct {
	user    string
	method  string
	key     string // for methodList a prefix
	expires int64  // Unix time, seconds
	limit   int64  // bytes
}

// mac signs a ticket. No field before the key can hold a newline.
func (t ticket) mac(secret string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "hoist-blob-1\n%s\n%d\n%d\n%s", t.method, t.expires, t.limit, t.key)
	return h.Sum(nil)
}

// sign returns the ticket as an URL below base.
func (t ticket) sign(base *url.URL, secret string) string {
	q := url.Values{
		"user":    {t.user},
		"expires": {strconv.FormatInt(t.expires, 10)},
		"sig":     {hex.EncodeToString(t.mac(secret))},
	}
	u := *base
	u.User, u.RawPath = nil, ""
	u.Path = strings.TrimSuffix(base.Path, "/") + "/" + t.key
	switch t.method {
	case http.MethodPut:
		q.Set("limit", strconv.FormatInt(t.limit, 10))
	case methodList:
		q.Set("list", t.key)
		u.Path = strings.TrimSuffix(base.Path, "/") + "/"
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// parseTicket reads a request's URL; what it returns is not yet verified.
func parseTicket(method string, u *url.URL) (t ticket, sig []byte, err error) {
	q := u.Query()
	t = ticket{user: q.Get("user"), method: method, key: strings.TrimPrefix(u.Path, "/")}
	if method == http.MethodGet && q.Has("list") {
		t.method, t.key = methodList, q.Get("list")
	}
	if t.expires, err = strconv.ParseInt(q.Get("expires"), 10, 64); err != nil {
		return t, nil, fmt.Errorf("expires: %w", err)
	}
	if method == http.MethodPut {
		if t.limit, err = strconv.ParseInt(q.Get("limit"), 10, 64); err != nil || t.limit < 0 {
			return t, nil, fmt.Errorf("limit: not a number of bytes")
		}
	}
	if sig, err = hex.DecodeString(q.Get("sig")); err != nil {
		return t, nil, fmt.Errorf("sig: %w", err)
	}
	return t, sig, nil
}

// verify reports whether the ticket was signed with the secret. A URL for GET
// also serves for HEAD.
func (t ticket) verify(sig []byte, secret string) bool {
	if hmac.Equal(sig, t.mac(secret)) {
		return true
	}
	if t.method != http.MethodHead {
		return false
	}
	t.method = http.MethodGet
	return hmac.Equal(sig, t.mac(secret))
}

func (t ticket) expired(now time.Time) bool { return now.Unix() > t.expires }
