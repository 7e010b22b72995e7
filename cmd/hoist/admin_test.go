package main

import (
	"testing"

	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

func TestWhoRunsThePlatformChangesAddresses(t *testing.T) {
	db, roles := postgrestest.New(t)
	t.Setenv("DATABASE_URL", roles.URL("api"))
	admin := func(args ...string) error {
		for _, cmd := range commands {
			if cmd.Name() == "admin" {
				cmd.SetArgs(args)
				cmd.SilenceErrors, cmd.SilenceUsage = true, true
				return cmd.ExecuteContext(t.Context())
			}
		}
		t.Fatal("no such command")
		return nil
	}
	for _, email := range []string{"ann@example.com", "bob@example.com"} {
		if err := admin("account", email); err != nil {
			t.Fatal(err)
		}
	}
	before, err := db.Account(t.Context(), "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][2]string{{"ann@example.com", "BOB@example.com"}, {"ann@example.com", "ann@hoist.invalid"}, {"carl@example.com", "carl@example.org"}} {
		if admin("email", bad[0], bad[1]) == nil {
			t.Errorf("%s became %s", bad[0], bad[1])
		}
	}
	if err := admin("email", "ann@example.com", "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	if after, err := db.Account(t.Context(), "ann@example.org"); err != nil || after.ID != before.ID {
		t.Errorf("%+v, %v", after, err)
	}
}
