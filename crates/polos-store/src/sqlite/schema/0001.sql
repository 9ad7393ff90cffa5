-- The first schema. Ids are text, times are milliseconds since the epoch, and the namespace leads
-- every key. A value is two columns: its JSON text as it came, and `envelope`, which is null for
-- plain inline JSON and else says where the bytes are or which codec reads them.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A run. `status` holds all that changes; the columns from `state` to `ended_ms` repeat what is
-- looked for. The input stands apart, so that a change of status does not write it again.
CREATE TABLE runs (
    namespace       TEXT NOT NULL,
    id              TEXT NOT NULL,
    workflow        TEXT NOT NULL,
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL,
    since_ms        INTEGER NOT NULL,
    assignment      INTEGER NOT NULL,
    resumed         INTEGER NOT NULL,
    build           TEXT,
    build_seen_ms   INTEGER NOT NULL,
    any_build       INTEGER NOT NULL,
    alone           INTEGER NOT NULL,
    error_code      TEXT,
    ended_ms        INTEGER,
    queue           TEXT NOT NULL,
    concurrency_key TEXT,
    session         TEXT,
    root            TEXT NOT NULL,
    parent          TEXT,
    parent_key      TEXT,
    detached        INTEGER NOT NULL,
    depth           INTEGER NOT NULL,
    start_key       TEXT,
    seed            TEXT NOT NULL,
    principal       TEXT NOT NULL,
    forked_from     TEXT,
    created_ms      INTEGER NOT NULL,
    options         TEXT NOT NULL,
    status          TEXT NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT;

CREATE INDEX runs_created ON runs (namespace, created_ms, id);
CREATE INDEX runs_workflow ON runs (namespace, workflow, created_ms, id);
CREATE INDEX runs_queued ON runs (namespace, created_ms, id, queue) WHERE state = 'queued';
CREATE INDEX runs_running ON runs (namespace, created_ms, id, queue) WHERE state = 'running';
CREATE INDEX runs_waiting ON runs (namespace, created_ms, id, queue) WHERE state = 'waiting';
CREATE INDEX runs_blocked ON runs (namespace, created_ms, id, queue) WHERE state = 'blocked';
CREATE INDEX runs_error ON runs (namespace, error_code, created_ms, id) WHERE error_code IS NOT NULL;
CREATE INDEX runs_session ON runs (namespace, session, created_ms, id) WHERE session IS NOT NULL;
CREATE INDEX runs_parent ON runs (namespace, parent, id) WHERE parent IS NOT NULL;
CREATE INDEX runs_root ON runs (namespace, root, created_ms, id);
CREATE INDEX runs_ended ON runs (namespace, ended_ms, id)
    WHERE ended_ms IS NOT NULL AND (parent IS NULL OR detached);

CREATE TABLE inputs (
    namespace TEXT NOT NULL,
    run       TEXT NOT NULL,
    envelope  TEXT,
    value     TEXT,
    PRIMARY KEY (namespace, run)
) STRICT;

-- The keys under which runs were started. `ended_ms` is set when the run itself is deleted.
CREATE TABLE start_keys (
    namespace TEXT NOT NULL,
    workflow  TEXT NOT NULL,
    key       TEXT NOT NULL,
    run       TEXT NOT NULL,
    ended_ms  INTEGER,
    PRIMARY KEY (namespace, workflow, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX start_keys_run ON start_keys (namespace, run);

-- The journal: a step is one inserted row. No second index, on purpose.
CREATE TABLE journal (
    namespace    TEXT NOT NULL,
    run          TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    key          TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    after        INTEGER NOT NULL,
    assignment   INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    worker       TEXT,
    build        TEXT,
    requested_ms INTEGER,
    started_ms   INTEGER,
    ended_ms     INTEGER,
    fingerprint  TEXT,
    traceparent  TEXT,
    envelope     TEXT,
    error        TEXT,
    detail       TEXT,
    value        TEXT,
    PRIMARY KEY (namespace, run, seq)
) STRICT, WITHOUT ROWID;

-- Kinds: 1 open timer, 2 deadline of an open wait, 3 a parked run's bare time, 4 the run's own
-- deadline, 5 the end of cleanup.
CREATE TABLE timers (
    namespace TEXT NOT NULL,
    run       TEXT NOT NULL,
    kind      INTEGER NOT NULL,
    key       TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (namespace, run, kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX timers_due ON timers (at, namespace, run, kind, key);

CREATE TABLE waiters (
    namespace TEXT NOT NULL,
    topic     TEXT NOT NULL,
    run       TEXT NOT NULL,
    key       TEXT NOT NULL,
    PRIMARY KEY (namespace, topic, run, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX waiters_run ON waiters (namespace, run);

-- The highest place of each topic, kept when its events are deleted: a place is never used again.
CREATE TABLE topics (
    namespace TEXT NOT NULL,
    topic     TEXT NOT NULL,
    head      INTEGER NOT NULL,
    PRIMARY KEY (namespace, topic)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    namespace TEXT NOT NULL,
    topic     TEXT NOT NULL,
    position  INTEGER NOT NULL,
    id        TEXT NOT NULL,
    key       TEXT,
    at        INTEGER NOT NULL,
    envelope  TEXT,
    payload   TEXT,
    PRIMARY KEY (namespace, topic, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX events_key ON events (namespace, topic, key) WHERE key IS NOT NULL;
CREATE INDEX events_at ON events (namespace, topic, at);

CREATE TABLE signals (
    namespace TEXT NOT NULL,
    run       TEXT NOT NULL,
    position  INTEGER NOT NULL,
    topic     TEXT NOT NULL,
    id        TEXT NOT NULL,
    key       TEXT,
    at        INTEGER NOT NULL,
    consumed  INTEGER NOT NULL,
    envelope  TEXT,
    payload   TEXT,
    PRIMARY KEY (namespace, run, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    namespace  TEXT NOT NULL,
    id         TEXT NOT NULL,
    run        TEXT NOT NULL,
    state      TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    approval   TEXT NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT;

CREATE INDEX approvals_created ON approvals (namespace, created_ms, id);
CREATE INDEX approvals_pending ON approvals (namespace, created_ms, id) WHERE state = 'pending';
CREATE INDEX approvals_run ON approvals (namespace, run, created_ms, id);

CREATE TABLE sessions (
    namespace  TEXT NOT NULL,
    id         TEXT NOT NULL,
    title      TEXT,
    metadata   TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT;

CREATE INDEX sessions_updated ON sessions (namespace, updated_ms, id);

CREATE TABLE queues (
    namespace           TEXT NOT NULL,
    name                TEXT NOT NULL,
    concurrency         INTEGER,
    concurrency_per_key INTEGER,
    hold                INTEGER NOT NULL,
    paused              INTEGER NOT NULL,
    by_operator         INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

-- `secret_hash` is the SHA-256 of the secret; the secret itself is nowhere.
CREATE TABLE api_keys (
    namespace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    revoked_ms  INTEGER,
    secret_hash BLOB NOT NULL UNIQUE,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    at        INTEGER NOT NULL,
    principal TEXT NOT NULL,
    action    TEXT NOT NULL,
    target    TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;

CREATE INDEX audit_namespace ON audit (namespace, position);

CREATE TABLE blobs (
    namespace TEXT NOT NULL,
    hash      TEXT NOT NULL,
    text      TEXT NOT NULL,
    PRIMARY KEY (namespace, hash)
) STRICT;

CREATE TABLE blob_refs (
    namespace TEXT NOT NULL,
    run       TEXT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (namespace, run, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_refs_hash ON blob_refs (namespace, hash);

-- Live output: not journal entries.
CREATE TABLE streams (
    namespace TEXT NOT NULL,
    run       TEXT NOT NULL,
    position  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    key       TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    envelope  TEXT,
    data      TEXT,
    PRIMARY KEY (namespace, run, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE builds (
    namespace TEXT NOT NULL,
    build     TEXT NOT NULL,
    seen_ms   INTEGER NOT NULL,
    PRIMARY KEY (namespace, build)
) STRICT, WITHOUT ROWID;

-- For people with sqlite3: `SELECT * FROM steps WHERE run = 'run_…'`, `SELECT * FROM waiting`.
CREATE VIEW steps AS
SELECT namespace, run, seq, datetime(at / 1000, 'unixepoch') AS at, kind, key, attempt,
       coalesce(value, envelope) AS value, error ->> '$.message' AS error,
       ended_ms - started_ms AS took_ms, build, worker
FROM journal
ORDER BY namespace, run, seq;

CREATE VIEW waiting AS
SELECT namespace, id AS run, workflow, state, queue,
       datetime(since_ms / 1000, 'unixepoch') AS since,
       coalesce(status ->> '$.blocked.message', status ->> '$.why') AS why
FROM runs
WHERE state IN ('queued', 'waiting', 'blocked')
ORDER BY since_ms;
