package runtime

import (
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestWhatServesIsToldWhereHTTPSIs(t *testing.T) {
	for _, c := range []struct {
		dyno  hoist.Dyno
		https int
		want  string
	}{
		{hoist.Dyno{Kind: hoist.KindFormation, Type: "web"}, 8443, "8443"},
		{hoist.Dyno{Kind: hoist.KindFormation, Type: "web"}, 443, ""},
		{hoist.Dyno{Kind: hoist.KindFormation, Type: "web"}, 0, ""},
		{hoist.Dyno{Kind: hoist.KindFormation, Type: "worker"}, 8443, ""},
	} {
		if got := environment(c.dyno, nil, hoist.Slug{}, c.https)["HOIST_HTTPS_PORT"]; got != c.want {
			t.Errorf("%s, %d: %q", c.dyno.Type, c.https, got)
		}
	}
}
