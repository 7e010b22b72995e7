package api

import "testing"

func TestAnAddressIsSomebodys(t *testing.T) {
	for _, good := range []string{"ann@example.com", "ann+x@invalid.example", "invalid@localhost"} {
		if err := CheckEmail(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "ann", "Ann <ann@example.com>", "proof@hoist.invalid", "ann@Invalid", "ann@x.INVALID"} {
		if CheckEmail(bad) == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}
