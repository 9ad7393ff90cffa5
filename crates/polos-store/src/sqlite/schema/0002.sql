-- A run that keeps its queue slot while it waits: the run whose slot it is in, itself or an ancestor.
-- Repeats what `status` holds, so that a server that starts finds the slots that are taken.
ALTER TABLE runs ADD COLUMN slot TEXT;

CREATE INDEX runs_slot ON runs (namespace, id) WHERE slot IS NOT NULL;
