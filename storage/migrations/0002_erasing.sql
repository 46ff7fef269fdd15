-- A body may be erased: where a tombstone stands, a BodyErased later in the same chain, its salt goes and only what the
-- tombstone says remains of it. The chain is over the hashes and does not change.
DROP TRIGGER event_bodies_never_change;

CREATE TRIGGER event_bodies_never_change BEFORE UPDATE ON event_bodies
WHEN (NEW.rowid, NEW.workspace, NEW.seq, NEW.salt) IS NOT (OLD.rowid, OLD.workspace, OLD.seq, '') OR NOT EXISTS (
  SELECT 1 FROM events AS e JOIN event_bodies AS b ON b.workspace = e.workspace AND b.seq = e.seq
  WHERE e.workspace = OLD.workspace AND e.kind = 'BodyErased' AND e.seq > OLD.seq
    AND json_extract(b.body, '$.seq') = OLD.seq AND json_extract(b.body, '$.remains') = NEW.body
)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: a body changes only where a tombstone says what remains'); END;
