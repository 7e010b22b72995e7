package router_test

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARequestReachesItsApp(t *testing.T) {
	w := newWorld(t)
	var got *http.Request
	app, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		got = r.Clone(t.Context())
		fmt.Fprint(rw, "hello")
	})
	req, _ := http.NewRequest("GET", "http://"+w.http+"/a%2Fb?c=d", nil)
	req.Host = host
	req.Header.Set("X-Forwarded-For", "192.0.2.7")
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("Connection", "X-Secret")
	req.Header.Set("X-Secret", "for the next hop only")
	resp, body := w.do(req)
	if resp.StatusCode != 200 || body != "hello" || resp.Header.Get("Via") != "1.1 hoist" {
		t.Fatal(resp, body)
	}
	if got.RequestURI != "/a%2Fb?c=d" || got.Host != host {
		t.Error(got.RequestURI, got.Host)
	}
	for name, want := range map[string]string{"X-Forwarded-For": `^192\.0\.2\.7, 127\.0\.0\.1$`, "X-Forwarded-Proto": "^http$",
		"X-Forwarded-Port": `^\d+$`, "X-Request-Start": `^\d{13}$`, "X-Request-Id": `^[0-9a-f-]{36}$`, "Via": `^1\.1 hoist$`,
		"X-Secret": "^$", "Connection": "^$"} {
		if v := got.Header.Get(name); !regexp.MustCompile(want).MatchString(v) {
			t.Errorf("%s: %q", name, v)
		}
	}
	line := w.logLine(app, "at=info")
	form := regexp.MustCompile(`^at=info method=GET path="/a%2Fb\?c=d" host=\S+ request_id=[0-9a-f-]{36} fwd="192\.0\.2\.7, 127\.0\.0\.1" dyno=web\.1 connect=\d+ms service=\d+ms status=200 bytes=5 protocol=http$`)
	if !form.MatchString(line.Text) {
		t.Error(line.Text)
	}
	if d := cmp.Diff([]string{"heroku", "router"}, []string{line.Source, line.Dyno}); d != "" {
		t.Error(d)
	}
}
