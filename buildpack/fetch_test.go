package buildpack_test

import (
	"testing"

	"github.com/hoist-sh/hoist/buildpack"
)

func TestRedacted(t *testing.T) {
	for source, want := range map[string]string{
		"heroku/nodejs":                         "heroku/nodejs",
		"urn:buildpack:heroku/ruby":             "urn:buildpack:heroku/ruby",
		"https://example.com/a@1.git#next":      "https://example.com/a@1.git#next",
		"https://me:hidden@example.com/a@1.git": "https://xxxxx@example.com/a@1.git",
		"https://hidden@example.com/a.tgz#x":    "https://xxxxx@example.com/a.tgz#x",
		"https://me:hid/den@example.com/a.git":  "https://xxxxx@example.com/a.git",
		"ssh://git@example.com/a.git":           "ssh://git@example.com/a.git",
		"git@example.com:a.git":                 "git@example.com:a.git",
	} {
		if got := buildpack.Redacted(source); got != want {
			t.Errorf("%s became %s", source, got)
		}
	}
}
