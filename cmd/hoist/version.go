package main

import (
	"sync"

	"github.com/hoist-sh/hoist"
)

// version is the beginning of the SHA-256 of this program. A version written
// into it would make programs of the same source differ.
var version = sync.OnceValue(func() string {
	sum, err := hoist.FileSHA256("/proc/self/exe")
	if err != nil {
		return "unknown"
	}
	return sum[:12]
})
