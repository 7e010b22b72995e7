package main

import "testing"

func TestWhichLogsIsMeant(t *testing.T) {
	ground := map[string]string{"DATABASE_URL": "postgres://", "NATS_URL": "nats://"}
	for _, c := range []struct {
		env  map[string]string
		args []string
		want bool
	}{
		{ground, []string{"logs"}, true},
		{ground, []string{"logs", "-a", "x"}, false},
		{ground, []string{"ps"}, false},
		{nil, []string{"logs"}, false},
		{map[string]string{"DATABASE_URL": "postgres://"}, []string{"logs"}, false},
	} {
		if got := servesLogs(c.args, func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v with %v: %v", c.args, c.env, got)
		}
	}
}
