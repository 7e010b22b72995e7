-- Workers on one machine share its memory. Those of the release before say
-- nothing and count by themselves.
ALTER TABLE workers ADD COLUMN host text NOT NULL DEFAULT '';  -- the machine, if it says
