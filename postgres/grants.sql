-- Least privilege: what each component's role may do. hoist_api owns the
-- schema (it runs the migrations) and needs no grant. Run after migrations,
-- any number of times; roles that do not exist are skipped (an external
-- DATABASE_URL may come with one role for all).
DO $$
DECLARE
  g record;
BEGIN
  FOR g IN SELECT * FROM (VALUES
    ('git',     'SELECT', 'accounts, keys, authorizations, apps, collaborators, builds, repos, releases, slugs, buildpack_installations, schema_version'),
    ('git',     'INSERT, UPDATE', 'builds, repos'),
    ('git',     'UPDATE (repo_size)', 'apps'),
    ('compile', 'SELECT', 'apps, builds, slugs, releases, dynos, workers, buildpack_installations, schema_version'),
    ('compile', 'INSERT, UPDATE', 'builds, slugs, dynos'),
    ('compile', 'DELETE', 'slugs'),
    ('compile', 'UPDATE (next_dyno, next_build)', 'apps'),
    ('runtime', 'SELECT', 'apps, releases, slugs, formation, dynos, workers, schema_version'),
    ('runtime', 'INSERT, UPDATE, DELETE', 'dynos, workers'),
    ('router',  'SELECT', 'apps, domains, dynos, workers, formation, components, schema_version'),
    ('logs',    'SELECT', 'apps, log_sessions, schema_version'),
    ('logs',    'UPDATE (expires_at)', 'log_sessions'),
    ('logs',    'DELETE', 'log_sessions'),
    ('seed',    'SELECT', 'apps, releases, slugs, formation, dynos, workers, components, builds, schema_version'),
    ('seed',    'INSERT, UPDATE', 'dynos'),
    ('seed',    'UPDATE (draining, seen_at)', 'workers')
  ) AS t (component, privileges, tables)
  LOOP
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hoist_' || g.component) THEN
      EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', 'hoist_' || g.component);
      EXECUTE format('GRANT %s ON %s TO %I', g.privileges, g.tables, 'hoist_' || g.component);
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON components TO %I', 'hoist_' || g.component);
    END IF;
  END LOOP;
END $$;
