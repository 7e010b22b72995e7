package router

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hoist-sh/hoist"
)

func TestARequestLineHoldsNothingOfTheClientsButValues(t *testing.T) {
	l := line{method: "GET", path: "/\"\r\nat=info \x00ü\xff\\", host: "a b\n", requestID: "id", fwd: "1\n2", dyno: "web.1",
		proto: "https", connect: time.Millisecond, service: 18 * time.Millisecond, status: 200, bytes: 13}
	want := `at=info method=GET path="/\"\x0d\x0aat=info \x00ü\xff\\" host=a?b? request_id=id fwd="1\x0a2" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=https`
	if got := string(l.appendText(nil)); got != want {
		t.Errorf("%s\n%s", got, want)
	}
	l.fail, l.dyno = failNoWeb, ""
	if got := string(l.appendText(nil)); !strings.HasPrefix(got, `at=error code=H14 desc="No web processes running" method=GET`) || !strings.Contains(got, ` dyno= connect= service= `) {
		t.Error(got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("GET", "/a?b=\"c\"", "example.com", "192.0.2.1, \n")
	f.Add("\x00", "\xff\xfe\u2028", "", strings.Repeat("a", 5000))
	f.Fuzz(func(t *testing.T, method, path, host, fwd string) {
		l := line{method: method, path: path, host: host, fwd: fwd, requestID: "r", proto: "http"}
		text := l.appendText(nil)
		for _, r := range string(text) {
			if r < ' ' || r == 0x7f || r == utf8.RuneError {
				t.Fatalf("%q", text)
			}
		}
		if len(text) > hoist.LogLineLimit {
			t.Fatal(len(text))
		}
		var got hoist.LogLine
		now := time.Now()
		if err := json.Unmarshal(appendJSON(nil, now, text), &got); err != nil || got.Text != string(text) || !got.Time.Equal(now) {
			t.Fatalf("%v %q %q", err, got.Text, text)
		}
	})
}

func FuzzHostName(f *testing.F) {
	for _, s := range []string{"Example.COM:80", "a.b.", "[::1]:80", "[::1", "::1", ":80", "*.x"} {
		f.Add(s)
	}
	table := newTable("localhost")
	f.Fuzz(func(t *testing.T, s string) {
		if h := hostName(s); strings.HasPrefix(s, "[") || h == hostName(h) {
			return
		} else if !strings.HasSuffix(h, ".") { // a second trailing dot is no name's
			t.Errorf("%q: %q", s, h)
		}
		table.lookup(s, "/")
	})
}

func FuzzForwarded(f *testing.F) {
	f.Add("192.0.2.1", "close, X-A", "a, b", "0123456789-0123456789")
	f.Fuzz(func(t *testing.T, xff, connection, te, id string) {
		h := http.Header{"X-Forwarded-For": {xff}, "Connection": {connection}, "Te": {te}, "X-A": {"1"}, "Upgrade": {"x"}}
		stripHopByHop(h)
		if h["Connection"] != nil || h["Upgrade"] != nil || h["Te"] != nil {
			t.Error(h)
		}
		if got := forwardedFor(h, "203.0.113.1"); !strings.HasSuffix(got, "203.0.113.1") {
			t.Error(got)
		}
		if validRequestID(id) && strings.ContainsAny(id, " \r\n\"") {
			t.Error(id)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	good, _ := json.Marshal(snapshot{Version: snapshotVersion, Routes: hoist.Routes{
		Apps:     []hoist.Route{{AppID: "1", Name: "a", Domains: []string{"x.test"}, Web: 1, Dynos: []hoist.WebDyno{{State: hoist.DynoUp, Address: "127.0.0.1:80"}}}},
		Services: []hoist.Service{{Type: "api", Address: "127.0.0.1:1"}}}})
	f.Add(good)
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"routes":{"apps":[{"dynos":[{"state":"up"}]}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		routes, err := parseSnapshot(data)
		if err != nil {
			return
		}
		n := newTable("test").next()
		for _, r := range routes.Apps {
			n.setApp(r)
		}
		n.setServices(routes.Services)
		n.index()
		n.lookup("a.test", "/")
		if path := t.TempDir() + "/routes.json"; writeSnapshot(path, n.routes()) == nil {
			if _, err := readSnapshot(path); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	s, err := SettingsFrom(func(name string) string { return map[string]string{"HOIST_ROUTER_IDLE_TIMEOUT": "2m"}[name] }, time.Hour)
	if err != nil || s.Idle != 2*time.Minute || s.Drain != time.Hour || s.FirstByte != 30*time.Second {
		t.Error(s, err)
	}
	for _, wrong := range []string{"5", "-1s", "0s", "soon"} {
		if _, err := SettingsFrom(func(string) string { return wrong }, 0); err == nil || !strings.Contains(err.Error(), "HOIST_ROUTER_") {
			t.Error(wrong, err)
		}
	}
}

func TestTheLessBusyOfTwoIsChosen(t *testing.T) {
	a, b, c := &backend{}, &backend{}, &backend{}
	a.inflight.Store(5)
	c.refused.Store(moment(time.Now()))
	for range 50 {
		if got := choose([]*backend{a, b, c}, nil, time.Now()); got == c {
			t.Fatal("the one that refuses was chosen")
		}
		if got := choose([]*backend{a, b}, nil, time.Now()); got != b {
			t.Fatal("the busier one was chosen")
		}
		if got := choose([]*backend{a, b, c}, map[*backend]bool{a: true, b: true}, time.Now()); got != c {
			t.Fatal("one that was tried was chosen")
		}
	}
}
