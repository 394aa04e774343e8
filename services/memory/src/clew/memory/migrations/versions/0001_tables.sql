-- Revision 0001: memory's tables. Kept as it was released; later revisions change it.

CREATE TABLE calls (
    run_id UUID NOT NULL,
    call_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    call_key TEXT NOT NULL,
    step_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    policy TEXT,
    request JSON,
    result JSON,
    untrusted BOOLEAN,
    error TEXT,
    error_type TEXT,
    duration_ms FLOAT,
    usage JSON,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    CONSTRAINT pk_calls PRIMARY KEY (run_id, call_id)
);

CREATE TABLE capabilities (
    source TEXT NOT NULL,
    body JSON NOT NULL,
    announced_at TIMESTAMPTZ,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_capabilities PRIMARY KEY (source)
);

CREATE TABLE chunks (
    document_id UUID NOT NULL,
    index INTEGER NOT NULL,
    tenant_id TEXT NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    page INTEGER,
    heading TEXT,
    text TEXT NOT NULL,
    words TSVECTOR GENERATED ALWAYS AS (to_tsvector('english', left(coalesce(heading, '') || ' ' || text, 100000))) STORED,
    CONSTRAINT pk_chunks PRIMARY KEY (document_id, index)
);

CREATE INDEX ix_chunks_tenant_id ON chunks (tenant_id);

CREATE INDEX ix_chunks_words ON chunks USING gin (words);

CREATE TABLE dead_letters (
    service TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    event_id UUID NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    run_id TEXT,
    recorded_at TIMESTAMPTZ,
    occurred_at TIMESTAMPTZ,
    record JSON NOT NULL,
    CONSTRAINT pk_dead_letters PRIMARY KEY (service, topic, partition, "offset")
);

CREATE TABLE deleted_documents (
    document_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    deleted_at TIMESTAMPTZ,
    deleted_by TEXT NOT NULL,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_deleted_documents PRIMARY KEY (document_id)
);

CREATE TABLE deleted_threads (
    thread_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    deleted_at TIMESTAMPTZ,
    deleted_by TEXT NOT NULL,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_deleted_threads PRIMARY KEY (thread_id)
);

CREATE TABLE document_progress (
    document_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    status TEXT NOT NULL,
    pages INTEGER,
    characters INTEGER,
    chunks INTEGER,
    stage TEXT,
    error TEXT,
    CONSTRAINT pk_document_progress PRIMARY KEY (document_id)
);

CREATE TABLE documents (
    document_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    event_id UUID NOT NULL,
    filename TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    object_key TEXT NOT NULL,
    sha256 TEXT,
    uploaded_by TEXT NOT NULL,
    created_at TIMESTAMPTZ,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_documents PRIMARY KEY (document_id)
);

CREATE INDEX ix_documents_tenant_id_documents_created_at_documents_d_1de4 ON documents (tenant_id, created_at, document_id);

CREATE TABLE events (
    run_id UUID NOT NULL,
    seq INTEGER NOT NULL,
    event_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    type TEXT NOT NULL,
    occurred_at TIMESTAMPTZ,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    body JSON NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (run_id, seq),
    CONSTRAINT uq_events_event_id UNIQUE (event_id)
);

CREATE TABLE messages (
    run_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    event_id UUID NOT NULL,
    message_id UUID NOT NULL,
    parent_run_id UUID,
    content JSON NOT NULL,
    text TEXT NOT NULL,
    sent_by TEXT NOT NULL,
    on_busy TEXT NOT NULL,
    model TEXT,
    request_hash TEXT,
    created_at TIMESTAMPTZ,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_messages PRIMARY KEY (run_id)
);

CREATE INDEX ix_messages_thread_id_messages_record_offset ON messages (thread_id, record_offset);

CREATE TABLE offsets (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    CONSTRAINT pk_offsets PRIMARY KEY (topic, partition)
);

CREATE TABLE plans (
    run_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    parent_run_id UUID,
    actionable BOOLEAN,
    plan JSON,
    model TEXT,
    failure TEXT,
    detail TEXT,
    planned_at TIMESTAMPTZ,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_usd NUMERIC,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_plans PRIMARY KEY (run_id)
);

CREATE INDEX ix_plans_parent_run_id ON plans (parent_run_id);

CREATE TABLE runs (
    run_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    partition INTEGER NOT NULL,
    created_at TIMESTAMPTZ,
    last_seq INTEGER NOT NULL,
    status TEXT,
    model TEXT,
    code_version TEXT,
    forked_from UUID,
    after_seq INTEGER,
    suspension JSON,
    output TEXT,
    confidence FLOAT,
    failure TEXT,
    error TEXT,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_usd NUMERIC,
    CONSTRAINT pk_runs PRIMARY KEY (run_id)
);

CREATE INDEX ix_runs_open ON runs (partition) WHERE ended_at IS NULL;

CREATE INDEX ix_runs_tenant_id_runs_created_at_runs_run_id ON runs (tenant_id, created_at, run_id);

CREATE INDEX ix_runs_thread_id ON runs (thread_id);

CREATE TABLE signals (
    event_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    run_id UUID NOT NULL,
    type TEXT NOT NULL,
    occurred_at TIMESTAMPTZ,
    body JSON NOT NULL,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_signals PRIMARY KEY (event_id)
);

CREATE INDEX ix_signals_run_id_signals_record_offset ON signals (run_id, record_offset);

CREATE TABLE steps (
    run_id UUID NOT NULL,
    step_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER,
    progress TEXT,
    fraction FLOAT,
    output TEXT,
    untrusted BOOLEAN,
    error TEXT,
    wake_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    last_seq INTEGER NOT NULL,
    CONSTRAINT pk_steps PRIMARY KEY (run_id, step_id)
);

CREATE TABLE thread_activity (
    thread_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    last_activity_at TIMESTAMPTZ,
    history_version INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    CONSTRAINT pk_thread_activity PRIMARY KEY (thread_id)
);

CREATE INDEX ix_thread_activity_tenant_id_thread_activity_last_activ_896f ON thread_activity (tenant_id, last_activity_at, thread_id);

CREATE TABLE thread_changes (
    event_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    title TEXT,
    metadata JSON,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_thread_changes PRIMARY KEY (event_id)
);

CREATE INDEX ix_thread_changes_thread_id_thread_changes_record_offset ON thread_changes (thread_id, record_offset);

CREATE TABLE thread_titles (
    thread_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    title TEXT NOT NULL,
    CONSTRAINT pk_thread_titles PRIMARY KEY (thread_id)
);

CREATE TABLE threads (
    thread_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    event_id UUID NOT NULL,
    created_at TIMESTAMPTZ,
    created_by TEXT NOT NULL,
    title TEXT,
    metadata JSON NOT NULL,
    request_hash TEXT,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_threads PRIMARY KEY (thread_id)
);
