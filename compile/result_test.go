package compile

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAReasonIsWhatPostgresTakes(t *testing.T) {
	for in, want := range map[string]string{
		"why":                              "why",
		"a\x00b\n":                         "ab\n",
		"x" + strings.Repeat("ä", 3000):    "x" + strings.Repeat("ä", 1999),
		strings.Repeat("€", 2000) + "\x00": strings.Repeat("€", 1333),
	} {
		if got := clip(in); got != want || !utf8.ValidString(got) {
			t.Errorf("%.20q… of %d bytes became %.20q… of %d", in, len(in), got, len(got))
		}
	}
}
