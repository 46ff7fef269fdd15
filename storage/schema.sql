-- Projections: what the log folds to, row by row. Nothing here is a source: opening a database whose projections were
-- laid by another version of this file drops them all and folds the log again (views.rebuild). So they need no migration.
-- Columns that hold JSON hold a noun as domain.codec writes it.

CREATE TABLE incidents (
  workspace   TEXT    NOT NULL,
  id          TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  opened      TEXT    NOT NULL,  -- JSON: the incident as it was opened
  opened_at   TEXT    NOT NULL,
  channel     TEXT    NOT NULL,
  thread_ts   TEXT    NOT NULL,
  alerts      INTEGER NOT NULL,
  resolved_at TEXT,
  resolved_seq INTEGER,
  open_ms     INTEGER,  -- from opened to resolved
  changed     INTEGER NOT NULL DEFAULT 0,  -- whether the agent executed something in it
  PRIMARY KEY (workspace, id)
) STRICT;
CREATE INDEX incidents_by_age ON incidents (workspace, seq);
CREATE INDEX incidents_resolved ON incidents (workspace, resolved_at, changed, open_ms) WHERE resolved_at IS NOT NULL;
CREATE INDEX incidents_open ON incidents (workspace, seq) WHERE resolved_at IS NULL;
CREATE INDEX incidents_by_thread ON incidents (workspace, channel, thread_ts) WHERE thread_ts <> '';

CREATE TABLE incident_alerts (
  workspace   TEXT    NOT NULL,
  incident_id TEXT    NOT NULL,
  fingerprint TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  place       INTEGER NOT NULL,  -- within the event that brought it
  firing      INTEGER NOT NULL,
  open        INTEGER NOT NULL,  -- whether its incident is
  PRIMARY KEY (workspace, incident_id, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_incident_per_alert ON incident_alerts (workspace, fingerprint) WHERE open = 1;

-- Alerts that wait before they may open an incident.
CREATE TABLE held_alerts (
  workspace   TEXT    NOT NULL,
  fingerprint TEXT    NOT NULL,
  incident_id TEXT    NOT NULL,  -- the resolved one that it repeats
  since       TEXT    NOT NULL,
  due         TEXT    NOT NULL,
  held        TEXT    NOT NULL,  -- JSON: AlertHeld
  PRIMARY KEY (workspace, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE maintenance (
  workspace TEXT NOT NULL,
  id        TEXT NOT NULL,
  until     TEXT NOT NULL,
  announced TEXT NOT NULL,  -- JSON: MaintenanceWindow
  PRIMARY KEY (workspace, id)
) STRICT, WITHOUT ROWID;

-- Alerts that opened no incident of their own, by what became of them.
CREATE TABLE noise (
  workspace TEXT    NOT NULL,
  why       TEXT    NOT NULL,  -- repeated, grouped, storm, flapping, cooldown, maintenance
  at        TEXT    NOT NULL,
  seq       INTEGER NOT NULL,
  PRIMARY KEY (workspace, why, at, seq)
) STRICT, WITHOUT ROWID;

-- How many of what there were on a day (UTC): alerts, incidents, and the alerts above by what became of them.
CREATE TABLE tallies (
  workspace TEXT    NOT NULL,
  day       TEXT    NOT NULL,
  what      TEXT    NOT NULL,
  n         INTEGER NOT NULL,
  PRIMARY KEY (workspace, day, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  workspace   TEXT    NOT NULL,
  id          TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  incident_id TEXT    NOT NULL,
  spec        TEXT    NOT NULL,  -- JSON: RunSpec
  status      TEXT    NOT NULL,
  started_at  TEXT    NOT NULL,
  finished_at TEXT,
  outcome     TEXT,
  reason      TEXT    NOT NULL DEFAULT '',
  steps       INTEGER NOT NULL DEFAULT 0,
  diagnoser   TEXT    NOT NULL DEFAULT '',  -- the model, or rules; empty until there is a diagnosis
  PRIMARY KEY (workspace, id)
) STRICT;
CREATE INDEX runs_by_age ON runs (workspace, seq);
CREATE INDEX runs_of_incident ON runs (workspace, incident_id, seq);
CREATE INDEX runs_unfinished ON runs (workspace, seq) WHERE status <> 'finished';

-- What scans found, known again from scan to scan.
CREATE TABLE config_findings (
  workspace     TEXT    NOT NULL,
  key           TEXT    NOT NULL,
  namespace     TEXT    NOT NULL,
  risk          INTEGER NOT NULL,  -- 0 is high
  saved         INTEGER NOT NULL,  -- what it frees, to rank by
  place         INTEGER NOT NULL,  -- in its last scan
  finding       TEXT    NOT NULL,  -- JSON: Finding
  run_id        TEXT    NOT NULL,
  first_seen    TEXT    NOT NULL,
  last_seen     TEXT    NOT NULL,
  news_at       TEXT    NOT NULL,  -- when it was new or worse
  gone_at       TEXT,
  snoozed_until TEXT,
  owner         TEXT    NOT NULL DEFAULT '',
  reason        TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (workspace, key)
) STRICT;
CREATE INDEX config_findings_there ON config_findings (workspace, place) WHERE gone_at IS NULL;

-- What runs concluded, by what it may be found again.
CREATE TABLE memories (
  workspace   TEXT    NOT NULL,
  run_id      TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  incident_id TEXT    NOT NULL,
  at          TEXT    NOT NULL,
  fingerprint TEXT    NOT NULL,
  target_key  TEXT    NOT NULL,
  summary     TEXT    NOT NULL,
  cause       TEXT    NOT NULL,
  PRIMARY KEY (workspace, run_id)
) STRICT;
CREATE INDEX memories_of_alert ON memories (workspace, fingerprint, seq) WHERE fingerprint <> '';
CREATE INDEX memories_of_target ON memories (workspace, target_key, seq) WHERE target_key <> '';

CREATE TABLE memory_words (
  workspace TEXT NOT NULL,
  word      TEXT NOT NULL,
  run_id    TEXT NOT NULL,
  PRIMARY KEY (workspace, word, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
  workspace TEXT    NOT NULL,
  run_id    TEXT    NOT NULL,
  user      TEXT    NOT NULL,
  seq       INTEGER NOT NULL,
  verdict   TEXT    NOT NULL,
  category  TEXT    NOT NULL,
  reason    TEXT    NOT NULL,
  at        TEXT    NOT NULL,
  PRIMARY KEY (workspace, run_id, user)  -- a person's last word stands
) STRICT, WITHOUT ROWID;
CREATE INDEX feedback_given ON feedback (workspace, at);

CREATE TABLE approvals (
  workspace        TEXT    NOT NULL,
  id               TEXT    NOT NULL,
  seq              INTEGER NOT NULL,
  run_id           TEXT    NOT NULL,
  incident_id      TEXT    NOT NULL,
  tool             TEXT    NOT NULL,
  environment      TEXT    NOT NULL,
  target_key       TEXT    NOT NULL,
  arguments_digest TEXT    NOT NULL,
  digest           TEXT    NOT NULL,
  expires_at       TEXT    NOT NULL,
  observe_only     INTEGER NOT NULL,
  batch            TEXT    NOT NULL,
  request          TEXT    NOT NULL,  -- JSON: ApprovalRequest
  state            TEXT    NOT NULL DEFAULT 'pending',
  closed_by        TEXT    NOT NULL DEFAULT '',
  closed_reason    TEXT    NOT NULL DEFAULT '',
  closed_at        TEXT,
  reminded_at      TEXT,
  escalated_at     TEXT,
  shown_at         TEXT,     -- when Slack had its card
  decided_at       TEXT,     -- by a person, and until when nobody took that back
  decided_seq      INTEGER,
  decided          TEXT,     -- approved or denied
  waited_ms        INTEGER,  -- from shown to decided
  PRIMARY KEY (workspace, id)
) STRICT;
CREATE INDEX approvals_by_age ON approvals (workspace, seq);
CREATE INDEX approvals_of_run ON approvals (workspace, run_id, seq);
CREATE INDEX approvals_of_incident ON approvals (workspace, incident_id, seq);
CREATE INDEX approvals_of_batch ON approvals (workspace, batch, seq) WHERE batch <> '';
CREATE INDEX approvals_decided ON approvals (workspace, decided_at, decided, waited_ms) WHERE decided_at IS NOT NULL;
CREATE INDEX approvals_pending ON approvals (workspace, seq) WHERE state = 'pending' AND observe_only = 0;
CREATE INDEX approvals_expiring ON approvals (workspace, expires_at) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_denied ON approvals (workspace, tool, target_key, arguments_digest, seq) WHERE state = 'denied';

CREATE TABLE votes (
  workspace   TEXT    NOT NULL,
  approval_id TEXT    NOT NULL,
  user        TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  verdict     TEXT    NOT NULL,
  vote        TEXT    NOT NULL,  -- JSON: Vote
  PRIMARY KEY (workspace, approval_id, seq)  -- a person's last word counts, and every word is kept
) STRICT;

CREATE TABLE break_glass (
  workspace   TEXT    NOT NULL,
  id          TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  incident_id TEXT    NOT NULL,
  opened      TEXT    NOT NULL,  -- JSON: BreakGlass as it was opened
  reviewed_by TEXT    NOT NULL DEFAULT '',
  review      TEXT    NOT NULL DEFAULT '',
  reviewed_at TEXT,
  PRIMARY KEY (workspace, id)
) STRICT;
CREATE INDEX break_glass_unreviewed ON break_glass (workspace, seq) WHERE reviewed_at IS NULL;

CREATE TABLE delegations (
  workspace  TEXT NOT NULL,
  user       TEXT NOT NULL,
  until      TEXT NOT NULL,
  delegation TEXT NOT NULL,  -- JSON: Delegation
  PRIMARY KEY (workspace, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE executions (
  workspace   TEXT    NOT NULL,
  id          TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  run_id      TEXT    NOT NULL,
  call_id     TEXT    NOT NULL,
  approval_id TEXT    NOT NULL,
  tool        TEXT    NOT NULL,
  environment TEXT    NOT NULL,
  target_key  TEXT    NOT NULL,
  touches     INTEGER NOT NULL,
  key         TEXT    NOT NULL,
  action      TEXT    NOT NULL,  -- JSON: Action
  undoes      TEXT    NOT NULL,  -- the execution that this one takes back
  started_at  TEXT    NOT NULL,
  outcome     TEXT,
  detail      TEXT    NOT NULL DEFAULT '',
  verified    INTEGER,
  verified_at TEXT,
  checks      TEXT    NOT NULL DEFAULT '[]',
  failed      INTEGER NOT NULL GENERATED ALWAYS AS (
    CASE WHEN verified IS NOT NULL THEN NOT verified ELSE coalesce(outcome IN ('failed', 'unknown'), 0) END
  ) STORED,
  reverted_seq INTEGER,  -- of the event by which the undo of it took effect
  bad_at      TEXT,  -- since when it counts against the circuit breaker: failed, or reverted
  bad_seq     INTEGER,
  PRIMARY KEY (workspace, id)
) STRICT;
CREATE UNIQUE INDEX one_execution_per_call ON executions (workspace, run_id, call_id);
CREATE UNIQUE INDEX one_execution_per_approval ON executions (workspace, approval_id) WHERE approval_id <> '';
CREATE INDEX executions_by_age ON executions (workspace, started_at, touches);
CREATE INDEX executions_of_target ON executions (workspace, target_key, started_at);
CREATE INDEX executions_failed ON executions (workspace, started_at) WHERE failed = 1;
CREATE INDEX executions_bad ON executions (workspace, bad_at) WHERE bad_at IS NOT NULL;
CREATE INDEX executions_reverted ON executions (workspace, reverted_seq) WHERE reverted_seq IS NOT NULL;

-- What executions were meant to help with: the same alert, or the same finding on the same target.
CREATE TABLE problems (
  workspace    TEXT NOT NULL,
  problem      TEXT NOT NULL,
  started_at   TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  PRIMARY KEY (workspace, problem, started_at, execution_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE breakers (
  workspace TEXT    NOT NULL,
  scope     TEXT    NOT NULL,  -- a tool's name, or agent
  seq       INTEGER NOT NULL,
  reason    TEXT    NOT NULL,
  opened_at TEXT    NOT NULL,
  open      INTEGER NOT NULL,
  reset_seq INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (workspace, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE autonomy (
  workspace   TEXT    NOT NULL,
  tool        TEXT    NOT NULL,
  environment TEXT    NOT NULL,
  seq         INTEGER NOT NULL,
  reason      TEXT    NOT NULL,
  demoted_at  TEXT    NOT NULL,
  demoted     INTEGER NOT NULL,
  restored_seq INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (workspace, tool, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE trust (
  workspace   TEXT    NOT NULL,
  tool        TEXT    NOT NULL,
  environment TEXT    NOT NULL,
  proposed    INTEGER NOT NULL DEFAULT 0,
  approved    INTEGER NOT NULL DEFAULT 0,
  edited      INTEGER NOT NULL DEFAULT 0,
  denied      INTEGER NOT NULL DEFAULT 0,
  executed    INTEGER NOT NULL DEFAULT 0,
  verified    INTEGER NOT NULL DEFAULT 0,
  failed      INTEGER NOT NULL DEFAULT 0,
  reverted    INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (workspace, tool, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
  workspace TEXT    NOT NULL,
  key       TEXT    NOT NULL,
  also      TEXT    NOT NULL,
  seq       INTEGER NOT NULL,
  handled   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (workspace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_unhandled ON inbox (workspace, seq) WHERE handled = 0;
CREATE UNIQUE INDEX inbox_also ON inbox (workspace, also) WHERE also <> '';

CREATE TABLE outbox (
  workspace     TEXT    NOT NULL,
  key           TEXT    NOT NULL,
  seq           INTEGER NOT NULL,  -- of the first revision: messages of one priority go in the order they were wanted
  incident_id   TEXT    NOT NULL,
  revision      INTEGER NOT NULL,
  channel       TEXT    NOT NULL,
  thread_key    TEXT    NOT NULL,
  thread_ts     TEXT    NOT NULL,
  priority      INTEGER NOT NULL,
  text          TEXT    NOT NULL,
  blocks        TEXT    NOT NULL,  -- JSON
  attachments   TEXT    NOT NULL,  -- JSON
  wanted_at     TEXT    NOT NULL,
  shared_since  TEXT,             -- where another service may say the same: it is looked for from then on
  sent_revision INTEGER NOT NULL DEFAULT 0,
  sent_channel  TEXT    NOT NULL DEFAULT '',
  ts            TEXT    NOT NULL DEFAULT '',
  attempts      INTEGER NOT NULL DEFAULT 0,
  failed        TEXT    NOT NULL DEFAULT '',  -- why it failed for good
  PRIMARY KEY (workspace, key)
) STRICT;
CREATE INDEX outbox_unsent ON outbox (workspace, priority, seq) WHERE revision > sent_revision AND failed = '';
CREATE INDEX outbox_by_ts ON outbox (workspace, sent_channel, ts) WHERE ts <> '';

CREATE TABLE control (
  workspace TEXT PRIMARY KEY,
  mode      TEXT,
  paused    TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE work_units (
  workspace           TEXT    NOT NULL,
  seq                 INTEGER NOT NULL,
  incident_id         TEXT    NOT NULL,
  run_id              TEXT    NOT NULL,
  kind                TEXT    NOT NULL,
  outcome             TEXT    NOT NULL,  -- as it stands: work that is taken back later changes here and in its day's sums
  service             TEXT    NOT NULL,
  started_at          TEXT    NOT NULL,
  finished_at         TEXT    NOT NULL,
  by_alert            INTEGER NOT NULL,
  worth               INTEGER NOT NULL,
  undo                INTEGER NOT NULL,
  disputed            INTEGER NOT NULL DEFAULT 0,  -- whether a person's 👎 stands on its diagnosis
  alert_age_ms        INTEGER,
  to_first_finding_ms INTEGER,
  to_diagnosis_ms     INTEGER,
  to_approval_ms      INTEGER,
  to_verified_ms      INTEGER,
  votes               INTEGER NOT NULL,
  people_ms           INTEGER NOT NULL,
  attention_s        INTEGER NOT NULL,
  machine_ms          INTEGER NOT NULL,
  compute_micros      INTEGER,
  input_tokens        INTEGER NOT NULL,
  output_tokens       INTEGER NOT NULL,
  unpriced_tokens     INTEGER NOT NULL,
  cost_micros         INTEGER NOT NULL,
  PRIMARY KEY (workspace, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX work_units_by_end ON work_units (workspace, finished_at);
CREATE INDEX work_units_bad ON work_units (workspace, finished_at, people_ms, seq) WHERE outcome IN ('failed', 'reverted');
CREATE INDEX work_units_of_run ON work_units (workspace, run_id);

-- Whole days (UTC) summed, so that a quarter's figures read some hundred rows, however long the journal is.
CREATE TABLE daily (
  workspace       TEXT    NOT NULL,
  day             TEXT    NOT NULL,
  kind            TEXT    NOT NULL,
  outcome         TEXT    NOT NULL,
  n               INTEGER NOT NULL,
  units           INTEGER NOT NULL,  -- with those that took something back
  credited        INTEGER NOT NULL,  -- units that replaced work and stayed good
  charged         INTEGER NOT NULL,  -- units that failed or were taken back
  votes           INTEGER NOT NULL,
  people_ms       INTEGER NOT NULL,
  attention_s    INTEGER NOT NULL,
  machine_ms      INTEGER NOT NULL,
  computed        INTEGER NOT NULL,  -- units whose computing time had a price
  compute_micros  INTEGER NOT NULL,
  modelled        INTEGER NOT NULL,  -- units that used a model
  input_tokens    INTEGER NOT NULL,
  output_tokens   INTEGER NOT NULL,
  priced          INTEGER NOT NULL,  -- units that used tokens whose price is known
  unpriced_tokens INTEGER NOT NULL,
  cost_micros     INTEGER NOT NULL,
  PRIMARY KEY (workspace, day, kind, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE daily_services (
  workspace   TEXT    NOT NULL,
  day         TEXT    NOT NULL,
  service     TEXT    NOT NULL,
  n           INTEGER NOT NULL,
  credited    INTEGER NOT NULL,
  charged     INTEGER NOT NULL,
  people_ms   INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL,
  tokens      INTEGER NOT NULL,
  PRIMARY KEY (workspace, day, service)
) STRICT, WITHOUT ROWID;

-- The times of a day's units: 64-bit little-endian milliseconds in ascending order (storage/views/times.py).
CREATE TABLE daily_times (
  workspace        TEXT NOT NULL,
  day              TEXT NOT NULL,
  alert_age        BLOB NOT NULL,
  to_first_finding BLOB NOT NULL,
  to_diagnosis     BLOB NOT NULL,
  to_approval      BLOB NOT NULL,
  to_verified      BLOB NOT NULL,
  to_answer        BLOB NOT NULL,
  PRIMARY KEY (workspace, day)
) STRICT;

-- What work costs by hand: what the team set, and its incidents from before the agent.
CREATE TABLE baselines (
  workspace TEXT    NOT NULL,
  kind      TEXT    NOT NULL,
  seconds   INTEGER NOT NULL,
  seq       INTEGER NOT NULL,
  PRIMARY KEY (workspace, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE history (
  workspace   TEXT    NOT NULL,
  kind        TEXT    NOT NULL,
  open_ms     INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  place       INTEGER NOT NULL,  -- within the file
  resolved_at TEXT    NOT NULL,
  service     TEXT    NOT NULL,
  PRIMARY KEY (workspace, kind, open_ms, seq, place)
) STRICT, WITHOUT ROWID;

-- The Merkle tree's complete tiles of 256 events; laid as checkpoints are recorded (storage/tiles.py).
CREATE TABLE tiles (
  workspace TEXT    NOT NULL,
  tile      INTEGER NOT NULL,  -- from 0: seq 1 to 256, 257 to 512, …
  root      BLOB    NOT NULL,
  PRIMARY KEY (workspace, tile)
) STRICT, WITHOUT ROWID;

-- How each place outside stands that holds copies of checkpoints.
CREATE TABLE anchors (
  workspace  TEXT    NOT NULL,
  place      TEXT    NOT NULL,
  size       INTEGER NOT NULL DEFAULT 0,  -- of the newest checkpoint that it holds
  reference  TEXT    NOT NULL DEFAULT '',
  written_at TEXT,
  failed     TEXT    NOT NULL DEFAULT '',  -- why it takes none; empty once it did again
  failed_at  TEXT,
  PRIMARY KEY (workspace, place)
) STRICT, WITHOUT ROWID;
