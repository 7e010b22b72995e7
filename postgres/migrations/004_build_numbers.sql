-- Builds' dynos have numbers of their own: the first `run` of an app is run.1. The release before goes on with next_dyno.
ALTER TABLE apps ADD COLUMN next_build integer NOT NULL DEFAULT 1;  -- number of the next build's dyno
