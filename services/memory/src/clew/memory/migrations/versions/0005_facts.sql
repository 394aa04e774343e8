-- Revision 0005: what is remembered about users, and what operators did about dead letters.

CREATE TABLE facts (
    fact_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    text TEXT NOT NULL,
    remembered_by TEXT NOT NULL,
    source JSON,
    request_hash TEXT,
    created_at TIMESTAMPTZ,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_facts PRIMARY KEY (fact_id)
);
CREATE INDEX ix_facts_tenant_id_facts_user_id_facts_created_at_facts_fact_id ON facts (tenant_id, user_id, created_at, fact_id);

CREATE TABLE fact_changes (
    event_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    fact_id UUID NOT NULL,
    text TEXT NOT NULL,
    changed_at TIMESTAMPTZ,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_fact_changes PRIMARY KEY (event_id)
);
CREATE INDEX ix_fact_changes_fact_id_fact_changes_record_offset ON fact_changes (fact_id, record_offset);

CREATE TABLE forgotten_facts (
    fact_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    forgotten_at TIMESTAMPTZ,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_forgotten_facts PRIMARY KEY (fact_id)
);

CREATE TABLE dead_letter_resolutions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    action TEXT NOT NULL,
    redriven_to JSON,
    edited BOOLEAN NOT NULL,
    resolved_by TEXT NOT NULL,
    note TEXT,
    resolved_at TIMESTAMPTZ,
    CONSTRAINT pk_dead_letter_resolutions PRIMARY KEY (topic, partition, "offset")
);

CREATE VIEW {views}.facts WITH (security_invoker = true) AS
SELECT f.fact_id, f.tenant_id, f.user_id, coalesce(c.text, f.text) AS text, f.remembered_by, f.source, f.request_hash,
    f.created_at, coalesce(c.changed_at, f.created_at) AS changed_at
FROM facts f
LEFT JOIN LATERAL (
    SELECT text, changed_at FROM fact_changes c
    WHERE c.fact_id = f.fact_id AND c.tenant_id = f.tenant_id AND c.user_id = f.user_id
    ORDER BY c.record_offset DESC LIMIT 1
) c ON true
WHERE NOT EXISTS (
    SELECT FROM forgotten_facts x
    WHERE x.fact_id = f.fact_id AND x.tenant_id = f.tenant_id AND x.user_id = f.user_id
);

CREATE VIEW {views}.dead_letter_resolutions WITH (security_invoker = true) AS
SELECT topic, partition, "offset", tenant_id, action, redriven_to, edited, resolved_by, note, resolved_at
FROM dead_letter_resolutions;
