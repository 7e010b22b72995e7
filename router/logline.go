package router

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// line is one request for the app's log.
type line struct {
	app       string // ID
	at        time.Time
	method    string
	path      string
	host      string
	requestID string
	fwd       string
	dyno      string
	proto     string
	connect   time.Duration
	service   time.Duration
	status    int
	bytes     int64
	fail      *failure // nil if none
}

// json is the line as the app's log takes it.
func (l *line) json() []byte {
	var buf [512]byte
	text := l.appendText(buf[:0])
	return appendJSON(make([]byte, 0, len(text)+120), l.at, text)
}

// appendText appends the line in Heroku's form
// (https://devcenter.heroku.com/articles/http-routing#heroku-router-log-format).
func (l *line) appendText(b []byte) []byte {
	switch {
	case l.fail == nil || l.fail.code == "":
		b = append(b, "at=info"...)
	default:
		level := "at=error code="
		if l.fail == failMaintenance {
			level = "at=info code="
		}
		b = append(append(b, level...), l.fail.code...)
		b = appendQuoted(append(b, " desc="...), l.fail.desc, 200)
	}
	b = appendBare(append(b, " method="...), l.method, 40)
	b = appendQuoted(append(b, " path="...), l.path, 4000)
	b = appendBare(append(b, " host="...), l.host, 255)
	b = append(append(b, " request_id="...), l.requestID...)
	b = appendQuoted(append(b, " fwd="...), l.fwd, 1000)
	b = append(append(b, " dyno="...), l.dyno...)
	b = append(b, " connect="...)
	if l.dyno != "" {
		b = append(strconv.AppendInt(b, l.connect.Milliseconds(), 10), "ms"...)
	}
	b = append(b, " service="...)
	if l.dyno != "" {
		b = append(strconv.AppendInt(b, l.service.Milliseconds(), 10), "ms"...)
	}
	b = strconv.AppendInt(append(b, " status="...), int64(l.status), 10)
	b = strconv.AppendInt(append(b, " bytes="...), l.bytes, 10)
	return append(append(b, " protocol="...), l.proto...)
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s in quotes, at most limit bytes of it, with quotes,
// backslashes and whatever is not printable ASCII or UTF-8 escaped: nobody
// gets a line's end or a field of his own into the log.
func appendQuoted(b []byte, s string, limit int) []byte {
	b = append(b, '"')
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			for _, c := range []byte(s[i : i+n]) {
				b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			}
		} else {
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

// appendBare appends s without quotes: what would end or split it becomes "?".
func appendBare(b []byte, s string, limit int) []byte {
	for i := 0; i < len(s) && i < limit; i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '"' || c == '=' {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

// appendJSON appends the hoist.LogLine that says text, as encoding/json would.
func appendJSON(b []byte, at time.Time, text []byte) []byte {
	b = append(b, `{"t":"`...)
	b = at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","s":"heroku","p":"router","m":"`...)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, `"}`...)
}
