package postgres

import (
	"fmt"
	"strings"
	"testing"
)

func FuzzDynoName(f *testing.F) {
	for _, s := range []string{"web.1", "web", "web.", ".1", "web.1.2", "web.+1", "web.99999999999", "wéb.-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		kind, number, err := splitDynoName(name)
		if err == nil && (strings.Contains(kind, ".") || !strings.HasPrefix(name, kind+".") || fmt.Sprint(number) == "") {
			t.Errorf("%q is %q, %d", name, kind, number)
		}
	})
}
