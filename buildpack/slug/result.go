package slug

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/procfile"
)

// Result is what a build dyno says at its end, as JSON. It comes out of a
// container that ran the user's code: Validate before use.
type Result struct {
	Buildpack    string         `json:"buildpack,omitempty"`
	ProcessTypes procfile.Types `json:"process_types,omitempty"`
	SHA256       string         `json:"sha256,omitempty"` // of the slug, hexadecimal
	Size         int64          `json:"size,omitempty"`   // of the slug, bytes
	Phase        string         `json:"phase,omitempty"`  // that failed
	Error        string         `json:"error,omitempty"`  // why
}

// ResultLimit is the largest result in bytes.
const ResultLimit = 1 << 20

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseResult reads and validates a result.
func ParseResult(text []byte) (Result, error) {
	var r Result
	if len(text) > ResultLimit {
		return r, errors.New("the result is too large")
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("the result is not valid: %w", err)
	}
	return r, r.Validate()
}

// Validate reports what cannot be right in a result.
func (r Result) Validate() error {
	switch {
	case len(r.Buildpack) > buildpack.NameLimit:
		return errors.New("the result's buildpack name is too long")
	case strings.ContainsFunc(r.Buildpack, unicode.IsControl):
		return errors.New("the result's buildpack name is not one line of text")
	case r.Error != "":
		return nil
	case !hexSHA256.MatchString(r.SHA256):
		return errors.New("the result has no checksum of the slug")
	case r.Size <= 0 || r.Size > hoist.SlugLimit:
		return fmt.Errorf("the result has a slug of %d bytes", r.Size)
	}
	return r.ProcessTypes.Validate()
}
