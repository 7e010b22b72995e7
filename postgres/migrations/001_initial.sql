-- The domain as the root package names it. IDs are made by the writer.

CREATE TABLE accounts (
  id            uuid PRIMARY KEY,
  email         text NOT NULL,
  name          text NOT NULL DEFAULT '',
  password_hash text NOT NULL DEFAULT '',
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX accounts_email ON accounts (lower(email));

CREATE TABLE keys (
  id          uuid PRIMARY KEY,
  account_id  uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  public_key  text NOT NULL,
  comment     text NOT NULL DEFAULT '',
  fingerprint text NOT NULL UNIQUE,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE authorizations (
  id          uuid PRIMARY KEY,
  account_id  uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  description text NOT NULL DEFAULT '',
  scope       text[] NOT NULL DEFAULT '{global}',
  token_hash  bytea NOT NULL UNIQUE,
  expires_at  timestamptz,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE apps (
  id                 uuid PRIMARY KEY,
  name               text NOT NULL UNIQUE,
  owner_id           uuid NOT NULL REFERENCES accounts,
  stack              text NOT NULL,
  region             text NOT NULL,
  maintenance        boolean NOT NULL DEFAULT false,
  system             boolean NOT NULL DEFAULT false,
  config             jsonb NOT NULL DEFAULT '{}',
  buildpack_provided text NOT NULL DEFAULT '',
  repo_size          bigint NOT NULL DEFAULT 0,
  slug_size          bigint NOT NULL DEFAULT 0,
  current_release_id uuid,
  next_dyno          integer NOT NULL DEFAULT 1,  -- number of the next one-off dyno
  released_at        timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE collaborators (
  id         uuid PRIMARY KEY,
  app_id     uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (app_id, account_id)
);

CREATE TABLE domains (
  id         uuid PRIMARY KEY,
  app_id     uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  hostname   text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE slugs (
  id                 uuid PRIMARY KEY,
  app_id             uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  blob_key           text NOT NULL,
  sha256             text NOT NULL DEFAULT '',
  size               bigint NOT NULL DEFAULT 0,
  process_types      jsonb NOT NULL DEFAULT '{}',
  buildpack_provided text NOT NULL DEFAULT '',
  commit             text NOT NULL DEFAULT '',
  commit_description text NOT NULL DEFAULT '',
  stack              text NOT NULL DEFAULT '',
  ready              boolean NOT NULL DEFAULT false,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX slugs_app ON slugs (app_id, created_at);

CREATE TABLE releases (
  id          uuid PRIMARY KEY,
  app_id      uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  version     integer NOT NULL,
  slug_id     uuid REFERENCES slugs,
  config      jsonb NOT NULL DEFAULT '{}',
  description text NOT NULL,
  status      text NOT NULL DEFAULT 'succeeded',
  account_id  uuid NOT NULL REFERENCES accounts,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE (app_id, version)
);

CREATE TABLE formation (
  id         uuid PRIMARY KEY,
  app_id     uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  type       text NOT NULL,
  command    text NOT NULL,
  quantity   integer NOT NULL CHECK (quantity >= 0),
  size       text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (app_id, type)
);

CREATE TABLE buildpack_installations (
  app_id  uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  ordinal integer NOT NULL,
  url     text NOT NULL,
  name    text NOT NULL,
  PRIMARY KEY (app_id, ordinal)
);

CREATE TABLE repos (
  app_id     uuid PRIMARY KEY REFERENCES apps ON DELETE CASCADE,
  generation bigint NOT NULL DEFAULT 0,
  head       text NOT NULL DEFAULT 'refs/heads/main',
  refs       jsonb NOT NULL DEFAULT '{}',  -- name: object
  packs      jsonb NOT NULL DEFAULT '[]',  -- hoist.Pack, in order
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE builds (
  id                 uuid PRIMARY KEY,
  app_id             uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  account_id         uuid NOT NULL REFERENCES accounts,
  state              text NOT NULL DEFAULT 'pending',
  stack              text NOT NULL,
  buildpacks         jsonb NOT NULL DEFAULT '[]',
  source_key         text NOT NULL DEFAULT '',
  source_url         text NOT NULL DEFAULT '',
  source_checksum    text NOT NULL DEFAULT '',
  source_version     text NOT NULL DEFAULT '',
  source_description text NOT NULL DEFAULT '',
  push               jsonb,
  slug_id            uuid REFERENCES slugs,
  release_id         uuid REFERENCES releases,
  output             text NOT NULL DEFAULT '',  -- at the end; the last megabyte
  error              text NOT NULL DEFAULT '',
  attempts           integer NOT NULL DEFAULT 0,
  claimed_by         text NOT NULL DEFAULT '',
  lease_until        timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  finished_at        timestamptz
);
CREATE INDEX builds_open ON builds (created_at) WHERE finished_at IS NULL;
CREATE INDEX builds_app ON builds (app_id, created_at);

CREATE TABLE workers (
  id       uuid PRIMARY KEY,
  address  text NOT NULL,             -- ip:port of the attach listener
  memory   bigint NOT NULL,           -- bytes for dynos
  draining boolean NOT NULL DEFAULT false,
  seen_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE dynos (
  id          uuid PRIMARY KEY,
  app_id      uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  release_id  uuid REFERENCES releases ON DELETE CASCADE,
  kind        text NOT NULL,          -- formation, run, build
  type        text NOT NULL,
  number      integer NOT NULL,
  size        text NOT NULL,
  command     text NOT NULL,
  env         jsonb NOT NULL DEFAULT '{}',
  want        text NOT NULL DEFAULT 'up',
  state       text NOT NULL DEFAULT 'starting',
  attach      boolean NOT NULL DEFAULT false,
  tty         boolean NOT NULL DEFAULT false,
  secret_hash bytea UNIQUE,
  timeout_s   integer NOT NULL DEFAULT 0,
  worker_id   uuid REFERENCES workers ON DELETE SET NULL,
  address     text NOT NULL DEFAULT '',
  restarts    integer NOT NULL DEFAULT 0,
  restart_at  timestamptz,
  exit_code   integer,
  reason      text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  state_at    timestamptz NOT NULL DEFAULT now(),
  up_at       timestamptz             -- when it was up for the first time
);
-- One web.1 at most is meant to stay; others may be on their way out.
CREATE UNIQUE INDEX dynos_wanted ON dynos (app_id, type, number) WHERE kind = 'formation' AND want = 'up' AND state <> 'down';
CREATE INDEX dynos_app ON dynos (app_id);
CREATE INDEX dynos_worker ON dynos (worker_id) WHERE state <> 'down';
CREATE INDEX dynos_unplaced ON dynos (created_at) WHERE worker_id IS NULL AND state <> 'down';

CREATE TABLE log_sessions (
  id         uuid PRIMARY KEY,
  app_id     uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
  token_hash bytea NOT NULL UNIQUE,
  lines      integer NOT NULL,
  tail       boolean NOT NULL,
  source     text NOT NULL DEFAULT '',
  dyno       text NOT NULL DEFAULT '',
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Processes of the platform itself: where they are and what they wait for.
CREATE TABLE components (
  id         uuid PRIMARY KEY,
  type       text NOT NULL,           -- git, api, …, or blobs (served by the seed)
  address    text NOT NULL DEFAULT '',-- ip:port of its HTTP server, for the router
  version    text NOT NULL DEFAULT '',
  waits_for  text NOT NULL DEFAULT '',
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at    timestamptz NOT NULL DEFAULT now()
);
---- create above / drop below ----
SELECT 1/0; -- forward only
