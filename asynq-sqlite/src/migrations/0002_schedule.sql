-- What schedulers share.

CREATE TABLE asynq_ticks (
    queue TEXT NOT NULL,
    entry TEXT NOT NULL,
    -- Up to when the entry has been enqueued.
    tick  INTEGER NOT NULL,
    -- When a scheduler asked for it, or moved it on. Entries come and go, and their ticks must not stay.
    used  INTEGER NOT NULL,
    PRIMARY KEY (queue, entry)
) STRICT, WITHOUT ROWID;

CREATE INDEX asynq_ticks_by_use ON asynq_ticks (used);

CREATE TABLE asynq_schedulers (
    id      TEXT NOT NULL PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE asynq_schedule_entries (
    scheduler   TEXT NOT NULL REFERENCES asynq_schedulers (id) ON DELETE CASCADE,
    place       INTEGER NOT NULL,
    id          TEXT NOT NULL,
    spec        TEXT NOT NULL,
    type        TEXT NOT NULL,
    payload     BLOB NOT NULL,
    -- JSON: a list of texts.
    options     TEXT NOT NULL,
    next_at     INTEGER,
    previous_at INTEGER,
    PRIMARY KEY (scheduler, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE asynq_schedule_histories (
    entry   TEXT NOT NULL PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX asynq_schedule_histories_by_end ON asynq_schedule_histories (expires);

CREATE TABLE asynq_schedule_events (
    entry       TEXT NOT NULL REFERENCES asynq_schedule_histories (entry) ON DELETE CASCADE,
    enqueued_at INTEGER NOT NULL,
    task_id     TEXT NOT NULL,
    PRIMARY KEY (entry, enqueued_at, task_id)
) STRICT, WITHOUT ROWID;
