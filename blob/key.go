package blob

import (
	"strings"

	"github.com/hoist-sh/hoist"
)

// Longest key and segment, in bytes; file systems and S3 both take these.
const (
	maxKey     = 512
	maxSegment = 200
)

// CheckKey returns an error if key is not one: segments of [A-Za-z0-9._-],
// none of them "." or "..", separated by "/".
func CheckKey(key string) error {
	if len(key) > maxKey {
		return hoist.Invalid("blob key of %d bytes; %d are allowed", len(key), maxKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." || len(segment) > maxSegment || !allowed(segment) {
			return hoist.Invalid("%q is not a blob key", key)
		}
	}
	return nil
}

// checkPrefix returns an error if no key can begin with prefix.
func checkPrefix(prefix string) error {
	// Whatever is begun can be ended by an "x".
	if err := CheckKey(prefix + "x"); err != nil {
		return hoist.Invalid("%q is not the beginning of a blob key", prefix)
	}
	return nil
}

func allowed(segment string) bool {
	for _, c := range []byte(segment) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
