-- Tables have a prefix of their own: the file may be the application's, with tables of its own.
-- Times are microseconds since the Unix epoch, durations are microseconds.

CREATE TABLE asynq_queues (
    name      TEXT NOT NULL PRIMARY KEY,
    -- A queue can be paused before it has had a task.
    used      INTEGER NOT NULL DEFAULT 0,
    paused    INTEGER NOT NULL DEFAULT 0,
    -- How many places in lists have been given away.
    arrivals  INTEGER NOT NULL DEFAULT 0,
    processed INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE asynq_days (
    queue     TEXT NOT NULL,
    -- Days since the Unix epoch, UTC.
    day       INTEGER NOT NULL,
    processed INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    PRIMARY KEY (queue, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE asynq_tasks (
    number         INTEGER PRIMARY KEY,
    queue          TEXT NOT NULL,
    id             TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN
        ('active', 'pending', 'scheduled', 'retry', 'archived', 'completed', 'aggregating')),
    -- Orders the tasks of a state. Pending: 0, they stand in the order of their place. Active: end of the lease.
    -- Scheduled and retry: when they are due. Archived: since when. Completed: until when they are kept.
    -- Aggregating: when they came to their group.
    at             INTEGER NOT NULL,
    -- Orders those of the same time.
    place          INTEGER NOT NULL,
    -- When it became pending, or was taken out.
    since          INTEGER NOT NULL,

    type           TEXT NOT NULL,
    payload        BLOB NOT NULL,
    headers        TEXT,
    max_retry      INTEGER NOT NULL,
    retried        INTEGER NOT NULL,
    last_error     TEXT NOT NULL,
    last_failed_at INTEGER,
    timeout        INTEGER,
    deadline       INTEGER,
    retention      INTEGER NOT NULL,
    completed_at   INTEGER,
    group_name     TEXT,
    unique_key     TEXT,
    unknown_fields BLOB,

    result         BLOB,
    -- Of the lease.
    nonce          INTEGER NOT NULL DEFAULT 0,
    started        INTEGER NOT NULL DEFAULT 0,
    cancel         INTEGER NOT NULL DEFAULT 0,
    -- How often in a row a worker died before it started the task.
    lost           INTEGER NOT NULL DEFAULT 0,
    -- The sealed set that an aggregating task is in.
    set_id         TEXT,

    UNIQUE (queue, id),
    CHECK (state <> 'aggregating' OR group_name IS NOT NULL)
) STRICT;

CREATE INDEX asynq_tasks_by_state ON asynq_tasks (queue, state, at, place);
CREATE INDEX asynq_tasks_by_group ON asynq_tasks (queue, group_name, at, place)
    WHERE state = 'aggregating' AND set_id IS NULL;
CREATE INDEX asynq_tasks_by_set ON asynq_tasks (queue, set_id, at, place)
    WHERE set_id IS NOT NULL;

CREATE TABLE asynq_locks (
    queue      TEXT NOT NULL,
    unique_key TEXT NOT NULL,
    holder     TEXT NOT NULL,
    expires    INTEGER NOT NULL,
    PRIMARY KEY (queue, unique_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX asynq_locks_by_end ON asynq_locks (queue, expires);

CREATE TABLE asynq_sets (
    queue      TEXT NOT NULL,
    id         TEXT NOT NULL,
    group_name TEXT NOT NULL,
    deadline   INTEGER NOT NULL,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX asynq_sets_by_deadline ON asynq_sets (queue, deadline);

-- Requests that tasks be cancelled, kept for a while so that every watching process reads them. Numbers are never
-- used again, so a reader knows where it left off.
CREATE TABLE asynq_cancellations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    queue  TEXT,
    id     TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE INDEX asynq_cancellations_by_time ON asynq_cancellations (at);

CREATE TABLE asynq_servers (
    host            TEXT NOT NULL,
    pid             INTEGER NOT NULL,
    id              TEXT NOT NULL,
    concurrency     INTEGER NOT NULL,
    -- JSON: names and priorities.
    queues          TEXT NOT NULL,
    strict_priority INTEGER NOT NULL,
    status          TEXT NOT NULL,
    started_at      INTEGER NOT NULL,
    active_workers  INTEGER NOT NULL,
    expires         INTEGER NOT NULL,
    PRIMARY KEY (host, pid, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE asynq_workers (
    host       TEXT NOT NULL,
    pid        INTEGER NOT NULL,
    server     TEXT NOT NULL,
    place      INTEGER NOT NULL,
    task_id    TEXT NOT NULL,
    type       TEXT NOT NULL,
    payload    BLOB NOT NULL,
    queue      TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    deadline   INTEGER NOT NULL,
    PRIMARY KEY (host, pid, server, place),
    FOREIGN KEY (host, pid, server) REFERENCES asynq_servers (host, pid, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
