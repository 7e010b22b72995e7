package postgres

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// While a release of the platform gives way to the next, and after a rollback, programs of the release
// before work with the newer schema. So a migration takes nothing away that they use and asks for
// nothing that they do not write, but for what a comment in it says that nobody has used for longer:
//
//	-- Unused since schema 4: apps.next_dyno
func TestMigrationsSuitTheReleaseBefore(t *testing.T) {
	s := started(t, nil)
	s.ready(t, "hoist_api")
	db, err := Open(t.Context(), s.RoleURL("hoist_api", "test"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) != SchemaVersion {
		t.Fatalf("%d migrations, and SchemaVersion is %d; %v", len(files), SchemaVersion, err)
	}
	unused := regexp.MustCompile(`(?m)^-- Unused since schema (\d+): (\S+)$`)
	var before, now schema
	for i, file := range files {
		if err := db.migrateTo(t.Context(), i+1); err != nil {
			t.Fatal(err)
		}
		before, now = now, readSchema(t, db.Pool)
		excused := map[string]bool{}
		text, _ := fs.ReadFile(migrations, file)
		for _, m := range unused.FindAllStringSubmatch(string(text), -1) {
			since, _ := strconv.Atoi(m[1])
			excused[m[2]] = since <= i
		}
		for column, why := range before.breaks(now) {
			if table, _, _ := strings.Cut(column, "."); !excused[column] && !excused[table] {
				t.Errorf("%s: %s %s", file, column, why)
			}
		}
	}
	for _, c := range []struct{ sql, breaks string }{ // what the next migration might do
		{`DROP TABLE log_sessions`, "log_sessions.token_hash is gone"},
		{`ALTER TABLE apps RENAME TO applications`, "apps.name is gone"},
		{`ALTER TABLE apps RENAME next_dyno TO number`, "apps.next_dyno is gone"},
		{`ALTER TABLE slugs ALTER size TYPE integer`, "slugs.size is integer, not bigint"},
		{`ALTER TABLE apps ADD kind text; ALTER TABLE apps ALTER kind SET NOT NULL`, "apps.kind has to be written"},
		{`ALTER TABLE apps ALTER next_dyno DROP DEFAULT`, "apps.next_dyno has to be written"},
		{`ALTER TABLE builds ALTER push SET NOT NULL`, "builds.push may not be null"},
		{`ALTER TABLE workers ADD CHECK (memory < 100)`, "workers.memory is bound by workers: CHECK ((memory < 100))"},
		{`ALTER TABLE apps ADD kind text, ADD UNIQUE (kind, stack)`, "apps.stack is bound by"},
		{`CREATE UNIQUE INDEX ON builds (source_version)`, "builds.source_version is bound by"},
		{`ALTER TABLE formation DROP CONSTRAINT formation_app_id_type_key`, "formation.type is not bound any more by"}, // ON CONFLICT
		{`ALTER TABLE apps ADD kind text NOT NULL DEFAULT '', ADD owner uuid REFERENCES accounts`, ""},
		{`ALTER TABLE apps ALTER next_dyno TYPE bigint; ALTER TABLE domains ALTER hostname DROP NOT NULL`, ""},
		{`CREATE INDEX ON builds (source_version); CREATE TABLE things (id uuid PRIMARY KEY, app_id uuid NOT NULL UNIQUE REFERENCES apps)`, ""},
	} {
		tx, err := db.Pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), c.sql); err != nil {
			t.Errorf("%s: %v", c.sql, err)
		}
		var found []string
		for column, why := range now.breaks(readSchema(t, tx)) {
			found = append(found, column+" "+why)
		}
		if text := strings.Join(found, "\n"); !strings.Contains(text, c.breaks) || c.breaks == "" && text != "" {
			t.Errorf("%s: found %q, want %q", c.sql, text, c.breaks)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// schema is what programs rely on.
type schema struct {
	columns map[string]column   // by "table.column"
	rules   map[string][]string // what binds which columns: checks, references, unique indexes
}

type column struct {
	Type             string
	NotNull, Default bool
}

func readSchema(t *testing.T, q querier) schema {
	t.Helper()
	s := schema{map[string]column{}, map[string][]string{}}
	rows, err := q.Query(t.Context(), `
		SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var c column
	if _, err := pgx.ForEachRow(rows, []any{&name, &c.Type, &c.NotNull, &c.Default}, func() error { s.columns[name] = c; return nil }); err != nil {
		t.Fatal(err)
	}
	rows, err = q.Query(t.Context(), `
		SELECT r.rule, ARRAY(SELECT c.relname || '.' || a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(r.of))
		FROM pg_class c JOIN (
			SELECT conrelid, conrelid::regclass || ': ' || pg_get_constraintdef(oid), conkey FROM pg_constraint WHERE contype IN ('c', 'f')
			UNION ALL SELECT indrelid, pg_get_indexdef(indexrelid), indkey::int2[] FROM pg_index WHERE indisunique) r (relid, rule, of) ON r.relid = c.oid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'`)
	if err != nil {
		t.Fatal(err)
	}
	var of []string
	if _, err := pgx.ForEachRow(rows, []any{&name, &of}, func() error { s.rules[name], of = of, nil; return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

// breaks says what of a newer schema a program of this one may fail at, by column.
func (s schema) breaks(now schema) map[string]string {
	found, tables := map[string]string{}, map[string]bool{}
	for name, was := range s.columns {
		table, _, _ := strings.Cut(name, ".")
		tables[table] = true
		is, there := now.columns[name]
		switch {
		case !there:
			found[name] = "is gone"
		case is.Type != was.Type && !(was.Type == "integer" && is.Type == "bigint"):
			found[name] = fmt.Sprintf("is %s, not %s", is.Type, was.Type)
		case is.NotNull && !was.NotNull:
			found[name] = "may not be null"
		case is.NotNull && was.Default && !is.Default:
			found[name] = "has to be written"
		}
	}
	for name, is := range now.columns {
		table, _, _ := strings.Cut(name, ".")
		if _, known := s.columns[name]; !known && tables[table] && is.NotNull && !is.Default {
			found[name] = "has to be written"
		}
	}
	differ := func(more, less schema, how string) {
		for rule, of := range more.rules {
			if _, same := less.rules[rule]; same {
				continue
			}
			for _, name := range of {
				_, was := s.columns[name]
				if _, is := now.columns[name]; was && is && found[name] == "" {
					found[name] = how + " " + rule
				}
			}
		}
	}
	differ(now, s, "is bound by")
	differ(s, now, "is not bound any more by")
	return found
}
