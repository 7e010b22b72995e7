package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var long = strings.Repeat("a line of a build that says much\n", 100)

func TestBuildOutputThatBreaksOffIsFollowedFromWhereItWas(t *testing.T) {
	for name, last := range map[string]string{
		"whole":                 long + "one\ntwo\nthree\n",
		"only the end is kept":  long[1000:] + "one\ntwo\nthree\n",
		"nothing more was said": long + "one\ntwo\n",
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				switch {
				case strings.HasPrefix(r.URL.Path, "/apps/demo/builds/"):
					status := "pending"
					if asked > 4 {
						status = "succeeded"
					}
					fmt.Fprintf(w, `{"id":"b1","status":%q,"output_stream_url":"http://%s/output"}`, status, r.Host)
				case asked == 2: // broken off in the middle
					io.WriteString(w, long+"one\ntw")
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				case asked == 3: // it ends well, too early
					io.WriteString(w, long+"one\ntwo\n")
				default:
					io.WriteString(w, last)
				}
			}))
			defer srv.Close()
			s := newShell(t, nil)
			s.env["HOIST_HOST"] = srv.URL
			code, out, errs := s.run("builds:output", "b1", "-a", "demo")
			want := long + "one\ntwo\nthree\n"
			if name == "nothing more was said" {
				want = last
			}
			if code != 0 || out != want {
				t.Errorf("%d, %q, %s", code, out, errs)
			}
		})
	}
}

func TestAFollowerForgetsAllButTheEnd(t *testing.T) {
	var out bytes.Buffer
	f := follower{to: &out}
	for range 100 {
		fmt.Fprintf(&f, "%s\n", strings.Repeat("x", 100))
	}
	if len(f.tail) != tailKept || f.shown != 10100 || out.Len() != 10100 {
		t.Error(len(f.tail), f.shown, out.Len())
	}
}
