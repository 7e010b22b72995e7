// Package needtest says what becomes of a test when the machine lacks what it needs.
package needtest

import (
	"os"
	"testing"
)

// Missing skips a test, for a reason that says how to get what is missing. If HOIST_TEST_ALL is set the test
// fails: `make test` gets all that tests need, and a green result of it must not hide what was not tried.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("HOIST_TEST_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
