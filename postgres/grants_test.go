package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestRolesHaveLeastPrivilege(t *testing.T) {
	db, roles := postgrestest.New(t)
	for _, sql := range []string{ // what earlier versions left
		`GRANT SELECT ON apps, releases TO hoist_router`,
		`GRANT SELECT (password_hash) ON accounts TO hoist_git`,
	} {
		if _, err := db.Pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		role, sql string
		allowed   bool
	}{
		{"router", `SELECT id FROM apps`, true},
		{"router", `SELECT config FROM apps`, false},
		{"router", `SELECT env FROM dynos`, false},
		{"router", `SELECT * FROM authorizations`, false},
		{"router", `SELECT * FROM releases`, false}, // config vars
		{"router", `UPDATE apps SET name = 'x'`, false},
		{"git", `SELECT fingerprint FROM keys`, true},
		{"git", `SELECT email FROM accounts`, true},
		{"git", `SELECT password_hash FROM accounts`, false},
		{"git", `SELECT config FROM apps`, false},
		{"git", `SELECT config FROM releases`, false},
		{"git", `SELECT * FROM slugs`, false},
		{"git", `UPDATE formation SET quantity = 9`, false},
		{"compile", `SELECT * FROM accounts`, false},
		{"compile", `UPDATE apps SET next_build = 2`, true},
		{"git", `UPDATE apps SET system = true`, false},
		{"compile", `UPDATE apps SET system = true`, false},
		{"runtime", `UPDATE apps SET system = true`, false},
		{"router", `UPDATE apps SET system = true`, false},
		{"logs", `UPDATE apps SET system = true`, false},
		{"seed", `UPDATE apps SET system = true`, false},
		{"api", `UPDATE apps SET system = true`, true}, // it owns the tables; docs/architecture.md, "The platform's own dynos"
		{"compile", `DELETE FROM slugs`, false},
		{"runtime", `UPDATE formation SET quantity = 9`, false},
		{"runtime", `SELECT id FROM accounts`, false},
		{"runtime", `SELECT config FROM apps`, false},
		{"logs", `SELECT id FROM apps`, false},
		{"logs", `SELECT id FROM releases`, false},
		{"seed", `SELECT config FROM apps`, false},
	} {
		_, err := roles.Open(c.role).Pool.Exec(context.Background(), c.sql)
		if (err == nil) != c.allowed {
			t.Errorf("%s: %s: %v", c.role, c.sql, err)
		}
	}
	// While a release gives way to the next, an api of the older one may start again.
	if _, err := db.Pool.Exec(t.Context(), `UPDATE schema_version SET version = version + 1; GRANT SELECT ON releases TO hoist_logs`); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := roles.Open("logs").Pool.Exec(t.Context(), `SELECT id FROM releases`); err != nil {
		t.Errorf("a privilege of a newer schema was taken away: %v", err)
	}
}

// Nobody lacks a privilege for a query of its own.
func TestEachComponentMayDoItsWork(t *testing.T) {
	db, roles := postgrestest.New(t)
	ctx := t.Context()
	app := appOf(t, db)
	git, compile, runtime := roles.Open("git"), roles.Open("compile"), roles.Open("runtime")
	router, logs, seed := roles.Open("router"), roles.Open("logs"), roles.Open("seed")
	may := func(what string, err error) {
		t.Helper()
		if denied := (*pgconn.PgError)(nil); errors.As(err, &denied) && denied.Code == "42501" {
			t.Errorf("%s: %v", what, err)
		}
	}
	build := hoist.Build{ID: hoist.NewID(), AppID: app.ID, AccountID: app.OwnerID}
	dyno := hoist.Dyno{ID: hoist.NewID(), AppID: app.ID, ReleaseID: app.CurrentReleaseID, Kind: hoist.KindFormation,
		Type: "web", Number: 1, Size: "Basic", Want: hoist.WantUp, State: hoist.DynoStarting, Env: map[string]string{}}
	worker := hoist.Worker{ID: hoist.NewID(), Address: "127.0.0.1:1"}

	_, err := git.AccountByFingerprint(ctx, "x")
	may("git: key", err)
	_, _, err = git.AccountByTokenHash(ctx, nil)
	may("git: token", err)
	_, err = git.AppOf(ctx, app.OwnerID, "app")
	may("git: app", err)
	_, err = git.PrepareRepo(ctx, app.ID, "refs/heads/main")
	may("git: repository", err)
	may("git: refs", git.MoveRefs(ctx, app.ID, hoist.Push{Pack: &hoist.Pack{Key: "p", Size: 1}}))
	may("git: packs", git.ReplacePacks(ctx, app.ID, 1, hoist.Pack{Key: "q", Size: 1}))
	_, err = git.LivePacks(ctx)
	may("git: live packs", err)
	may("git: build", git.InsertPushedBuild(ctx, build))
	_, _, err = git.PushedBuild(ctx, build.ID)
	may("git: its build", err)
	may("git: cancel", git.CancelPushedBuild(ctx, hoist.NewID(), "x"))
	_, err = git.OpenPushedBuilds(ctx, app.ID)
	may("git: open builds", err)

	build, err = compile.ClaimBuildJob(ctx, "me", hoist.NewID(), true, time.Minute)
	may("compile: claim", err)
	may("compile: renew", compile.RenewBuildJob(ctx, build, time.Minute))
	_, err = compile.BuildConfig(ctx, app.ID)
	may("compile: config", err)
	_, err = compile.StartBuildDyno(ctx, build, hoist.Dyno{ID: hoist.NewID(), Size: "Basic", Env: map[string]string{"REQUEST_ID": build.ID}})
	may("compile: dyno", err)
	_, _, err = compile.BuildDyno(ctx, dyno.ID)
	may("compile: its dyno", err)
	_, err = compile.StopBuildDynos(ctx, build)
	may("compile: stop", err)
	may("compile: abandoned", compile.StopAbandonedBuildDynos(ctx))
	_, err = compile.FailLostBuildJobs(ctx, "x")
	may("compile: lost", err)
	may("compile: slug", compile.FinishBuildJob(ctx, build, hoist.Slug{ID: hoist.NewID(), AppID: app.ID, ProcessTypes: map[string]string{}}, ""))

	_, err = runtime.SeeWorker(ctx, worker)
	may("runtime: worker", err)
	may("runtime: resume", runtime.ResumeWorker(ctx, worker.ID))
	_, err = runtime.UnsettledApps(ctx)
	may("runtime: apps", err)
	_, err = runtime.Reconcile(ctx, app.ID, func(hoist.App, []hoist.ProcessType, []hoist.Dyno, []hoist.Worker, time.Time) []hoist.Dyno {
		return []hoist.Dyno{dyno}
	})
	may("runtime: reconcile", err)
	_, _, err = runtime.WaitingDynos(ctx)
	may("runtime: waiting", err)
	_, err = runtime.PlacedDynos(ctx)
	may("runtime: placed", err)
	may("runtime: claim", runtime.ClaimDynos(ctx, worker.ID, []hoist.ID{dyno.ID}))
	_, err = runtime.WorkerDynos(ctx, worker.ID)
	may("runtime: its dynos", err)
	may("runtime: state", runtime.UpdateDyno(ctx, worker.ID, dyno))
	_, err = runtime.MoveDynos(ctx, worker.ID)
	may("runtime: move", err)
	_, _, err = runtime.SlugOfRelease(ctx, app.CurrentReleaseID)
	may("runtime: slug", err)
	_, err = runtime.AbandonedDynos(ctx, time.Minute)
	may("runtime: abandoned", err)
	may("runtime: collect", runtime.CollectDynos(ctx, time.Minute, time.Minute))
	may("runtime: delete", runtime.DeleteWorker(ctx, worker.ID))

	_, err = router.Routes(ctx, nil)
	may("router: routes", err)
	_, err = router.Services(ctx)
	may("router: services", err)
	_, _, err = router.AttachAddress(ctx, []byte{1})
	may("router: attach", err)

	_, err = logs.ConnectLogSession(ctx, nil)
	may("logs: connect", err)
	_, err = logs.LogSessionExists(ctx, hoist.NewID())
	may("logs: session", err)
	may("logs: collect", logs.DeleteExpiredLogSessions(ctx))

	_, err = seed.SystemRelease(ctx)
	may("seed: release", err)
	_, err = seed.SystemDynos(ctx, app.ID)
	may("seed: dynos", err)
	dyno.ID = hoist.NewID()
	may("seed: save", seed.SaveSystemDynos(ctx, app.ID, []postgres.SystemDyno{{Dyno: dyno, Written: hoist.WantUp}}))
	_, err = seed.DrainWorker(ctx, worker.ID)
	may("seed: drain", err)
	may("seed: lose", seed.LoseWorker(ctx, worker.ID))
	_, err = runtime.LoseWorkers(ctx, hoist.NewID(), time.Minute)
	may("runtime: lose", err)
	_, err = seed.Workers(ctx)
	may("seed: workers", err)
	_, err = seed.DynoCounts(ctx)
	may("seed: counts", err)
	_, err = seed.Troubles(ctx, 1)
	may("seed: troubles", err)
	may("seed: probation", seed.EndProbation(ctx, hoist.NewID()))

	for name, db := range map[string]*postgres.DB{"git": git, "compile": compile, "runtime": runtime, "router": router, "logs": logs, "seed": seed} {
		may(name+": schema", db.WaitForSchema(ctx, func(string) {}))
		_, err := db.Register(ctx, postgres.Registration{ID: hoist.NewID(), Type: name})
		may(name+": register", err)
		may(name+": unregister", db.Unregister(ctx, hoist.NewID()))
		_, err = db.Registrations(ctx)
		may(name+": registrations", err)
	}
}
