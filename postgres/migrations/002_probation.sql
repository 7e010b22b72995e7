-- A process of a release that has not proven itself gets work from the seed
-- only. The release before knows nothing of this: every default means proven.
ALTER TABLE components
  ADD COLUMN doors  jsonb NOT NULL DEFAULT '{}',     -- its own addresses, by public socket
  ADD COLUMN proven boolean NOT NULL DEFAULT true;
ALTER TABLE workers ADD COLUMN probation boolean NOT NULL DEFAULT false;
ALTER TABLE builds ADD COLUMN only_for uuid;         -- the component that may claim it; null for any
ALTER TABLE releases ADD COLUMN reason text NOT NULL DEFAULT '';  -- why it failed, for people
