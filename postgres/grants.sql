-- Least privilege: what each component's role may do, column by column where
-- others of the table are none of its business. hoist_api owns the
-- schema (it runs the migrations) and needs no grant. Run after migrations,
-- any number of times; roles that do not exist are skipped (an external
-- DATABASE_URL may come with one role for all).
--
-- What is not in here any more is revoked. While a release gives way to the next,
-- processes of both are there: take out only what the release before does not use
-- either, and give what is new a migration, if need be an empty one, as an api of
-- the release before leaves the grants of a newer schema alone.
DO $$
DECLARE
  component text;
  g record;
BEGIN
  FOREACH component IN ARRAY ARRAY['git', 'compile', 'runtime', 'router', 'logs', 'seed'] LOOP
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hoist_' || component) THEN
      EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', 'hoist_' || component);
      EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', 'hoist_' || component);
      EXECUTE format('GRANT SELECT ON schema_version TO %I', 'hoist_' || component);
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON components TO %I', 'hoist_' || component);
    END IF;
  END LOOP;
  FOR g IN SELECT * FROM (VALUES
    ('git',     'SELECT (id, email, name)', 'accounts'),
    ('git',     'SELECT (account_id, fingerprint)', 'keys'),
    ('git',     'SELECT (account_id, scope, token_hash, expires_at)', 'authorizations'),
    ('git',     'SELECT (id, name, owner_id, stack), UPDATE (repo_size)', 'apps'),
    ('git',     'SELECT (app_id, account_id)', 'collaborators'),
    ('git',     'SELECT', 'buildpack_installations'),
    ('git',     'SELECT (id, status)', 'releases'),
    ('git',     'SELECT, INSERT, UPDATE', 'repos'),
    ('git',     'SELECT, INSERT, UPDATE (state, error, finished_at, updated_at)', 'builds'),
    ('compile', 'SELECT (id, config, next_build), UPDATE (next_build)', 'apps'),
    ('compile', 'SELECT', 'buildpack_installations'),
    ('compile', 'SELECT, UPDATE', 'builds'),
    ('compile', 'SELECT (id), INSERT', 'slugs'),
    ('compile', 'SELECT (id, app_id, kind, worker_id, want, state, state_at, exit_code, reason, env), INSERT, UPDATE (want, state, state_at, updated_at)', 'dynos'),
    ('compile', 'SELECT (id, address)', 'workers'),
    ('runtime', 'SELECT (id, name, system, current_release_id)', 'apps'),
    ('runtime', 'SELECT (id, version, slug_id, config)', 'releases'),
    ('runtime', 'SELECT (id, blob_key, sha256, size, commit)', 'slugs'),
    ('runtime', 'SELECT', 'formation'),
    ('runtime', 'SELECT, INSERT, UPDATE, DELETE', 'dynos, workers'),
    ('router',  'SELECT (id, name, maintenance)', 'apps'),
    ('router',  'SELECT (app_id, hostname)', 'domains'),
    ('router',  'SELECT (app_id, type, quantity)', 'formation'),
    ('router',  'SELECT (id, app_id, kind, type, number, want, state, address, attach, secret_hash, worker_id, created_at)', 'dynos'),
    ('router',  'SELECT (id, address)', 'workers'),
    ('logs',    'SELECT, UPDATE (expires_at), DELETE', 'log_sessions'),
    ('seed',    'SELECT (id, name, system, current_release_id)', 'apps'),
    ('seed',    'SELECT (id, version, slug_id, config)', 'releases'),
    ('seed',    'SELECT (id, blob_key, sha256, size, commit)', 'slugs'),
    ('seed',    'SELECT', 'formation'),
    ('seed',    'SELECT, INSERT, UPDATE', 'dynos'),
    ('seed',    'SELECT, UPDATE (draining, seen_at)', 'workers')
  ) AS t (component, privileges, tables)
  LOOP
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hoist_' || g.component) THEN
      EXECUTE format('GRANT %s ON %s TO %I', g.privileges, g.tables, 'hoist_' || g.component);
    END IF;
  END LOOP;
END $$;
