-- The log. One chain per workspace: `seq` counts from 1 without gaps, `prev_hash` is the hash of the row before.
-- The order of a workspace's events is `seq`; `at` is what the clock said and may go back when the clock does.
CREATE TABLE events (
  workspace   TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  incident_id TEXT    NOT NULL,
  run_id      TEXT    NOT NULL,
  at          TEXT    NOT NULL,
  actor       TEXT    NOT NULL,
  kind        TEXT    NOT NULL,
  body_hash   TEXT    NOT NULL,
  prev_hash   TEXT    NOT NULL,
  hash        TEXT    NOT NULL,
  PRIMARY KEY (workspace, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_of_run ON events (workspace, run_id, seq) WHERE run_id <> '';
CREATE INDEX events_of_incident ON events (workspace, incident_id, seq) WHERE incident_id <> '';
CREATE INDEX events_of_kind ON events (workspace, kind, at);

-- Bodies stand apart, so that one body can be erased later while the chain over the hashes still verifies: the migration
-- that brings erasing replaces the trigger event_bodies_never_change.
CREATE TABLE event_bodies (
  workspace TEXT    NOT NULL,
  seq       INTEGER NOT NULL,
  salt      TEXT    NOT NULL,
  body      TEXT    NOT NULL,
  PRIMARY KEY (workspace, seq),
  FOREIGN KEY (workspace, seq) REFERENCES events (workspace, seq)
) STRICT;

-- Guards against accidents. Somebody who can drop a trigger can do anything; the chain tells.
CREATE TRIGGER events_never_change BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event never changes'); END;

CREATE TRIGGER events_stay BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never deleted'); END;

-- INSERT OR REPLACE deletes without firing delete triggers, so the insert itself must refuse whatever is not next.
CREATE TRIGGER events_only_append BEFORE INSERT ON events
WHEN (NEW.seq, NEW.prev_hash) IS NOT (
  SELECT coalesce(max(seq), 0) + 1, coalesce(max(hash), '0000000000000000000000000000000000000000000000000000000000000000')
  FROM (SELECT seq, hash FROM events WHERE workspace = NEW.workspace ORDER BY seq DESC LIMIT 1)
)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: this is not the next event of its chain'); END;

CREATE TRIGGER event_bodies_never_change BEFORE UPDATE ON event_bodies
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: a body never changes'); END;

CREATE TRIGGER event_bodies_stay BEFORE DELETE ON event_bodies
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: a body is never deleted'); END;

-- A body without an event is refused too: with a chosen rowid it could replace the body of another event.
CREATE TRIGGER event_bodies_only_append BEFORE INSERT ON event_bodies
WHEN EXISTS (SELECT 1 FROM event_bodies WHERE workspace = NEW.workspace AND seq = NEW.seq)
  OR NOT EXISTS (SELECT 1 FROM events WHERE workspace = NEW.workspace AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: one body for each event'); END;

-- What this database knows of itself, such as which projections it holds.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
