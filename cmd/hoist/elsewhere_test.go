package main

import (
	"fmt"
	"testing"
)

func TestTheGroundElsewhereIsFound(t *testing.T) {
	for _, c := range []struct{ database, bus, want string }{
		{"postgres://u:p@192.0.2.7/hoist", "nats://u:p@192.0.2.8", "[192.0.2.7:5432 192.0.2.8:4222]"},
		{"postgres://u@192.0.2.7:6432,192.0.2.9:5433/hoist?sslmode=disable", "nats://192.0.2.8:4333, tls://192.0.2.9", "[192.0.2.7:6432 192.0.2.9:5433 192.0.2.8:4333 192.0.2.9:4222]"},
		{"postgres://u@127.0.0.1:5432/hoist", "nats://localhost:4222", "[]"},
		{"postgres:///hoist?host=/run/postgresql", "", "[]"},
		{"not a URL", "nor this", "[]"},
	} {
		list, err := elsewhere(t.Context(), c.database, c.bus)
		seen := map[string]bool{}
		got := []string{}
		for _, a := range list { // some come twice, with TLS and without
			if !seen[a.String()] {
				seen[a.String()] = true
				got = append(got, a.String())
			}
		}
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s, %s: %v, %v; want %s", c.database, c.bus, got, err, c.want)
		}
	}
}

func TestAGroundThatCannotBeLookedUpHidesNoOther(t *testing.T) {
	list, err := elsewhere(t.Context(), "postgres://u@database.invalid/hoist", "nats://192.0.2.8")
	if err == nil || fmt.Sprint(list) != "[192.0.2.8:4222]" {
		t.Error(list, err)
	}
}
