package slug

import "testing"

// SetCacheLimit makes the largest cache smaller during a test.
func SetCacheLimit(t *testing.T, limit int64) {
	t.Cleanup(func() { cacheLimit = CacheLimit })
	cacheLimit = limit
}
