-- Revision 0002: the read contract, version 1. Kept as it was released; a change that readers would notice is read_v2.
-- What was deleted is subtracted here. `{views}` is the schema of the views; the tables are on the search path.

CREATE VIEW {views}.version WITH (security_invoker = true) AS SELECT 1 AS version;

CREATE VIEW {views}.offsets WITH (security_invoker = true) AS SELECT topic, partition, next_offset FROM offsets;

CREATE VIEW {views}.capabilities WITH (security_invoker = true) AS
SELECT source, body, announced_at, record_offset FROM capabilities;

CREATE VIEW {views}.dead_letters WITH (security_invoker = true) AS
SELECT tenant_id, service, topic, partition, "offset", event_id, reason, detail, run_id, recorded_at, occurred_at, record
FROM dead_letters;

-- Every run, deleted threads included: what the other views about runs stand on.
CREATE VIEW {views}.all_runs WITH (security_invoker = true) AS
SELECT r.run_id, r.tenant_id, r.thread_id, r.partition,
    coalesce(p.parent_run_id, CASE WHEN p.plan IS NULL THEN m.parent_run_id END) AS parent_run_id,
    r.forked_from, r.after_seq,
    coalesce(r.status, 'queued') AS status,
    CASE WHEN r.status = 'suspended' THEN r.suspension END AS suspension,
    m.on_busy, coalesce(r.model, m.model) AS model,
    p.plan, p.run_id IS NOT NULL AS planned, p.failure AS plan_failure,
    r.output, r.confidence, r.failure, r.error,
    r.requests + coalesce(p.requests, 0) AS requests,
    r.input_tokens + coalesce(p.input_tokens, 0) AS input_tokens,
    r.output_tokens + coalesce(p.output_tokens, 0) AS output_tokens,
    coalesce(r.cost_usd + p.cost_usd, r.cost_usd, p.cost_usd) AS cost_usd,
    r.last_seq, r.created_at, r.started_at, r.ended_at,
    m.message_id, m.content, m.text, m.created_at AS asked_at, m.request_hash, m.record_offset AS message_offset,
    EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = r.thread_id) AS deleted
FROM runs r
LEFT JOIN messages m ON m.run_id = r.run_id
LEFT JOIN plans p ON p.run_id = r.run_id;

CREATE VIEW {views}.runs WITH (security_invoker = true) AS SELECT * FROM {views}.all_runs WHERE NOT deleted;

-- The newest leaf is the run of the newest message that was not turned away; what waits for a person does not block.
CREATE VIEW {views}.threads WITH (security_invoker = true) AS
SELECT t.thread_id, t.tenant_id, t.partition,
    coalesce(
        (SELECT c.title FROM thread_changes c WHERE c.thread_id = t.thread_id AND c.title IS NOT NULL
            ORDER BY c.record_offset DESC LIMIT 1),
        t.title,
        (SELECT g.title FROM thread_titles g WHERE g.thread_id = t.thread_id)
    ) AS title,
    coalesce(
        (SELECT c.metadata FROM thread_changes c WHERE c.thread_id = t.thread_id AND c.metadata IS NOT NULL
            ORDER BY c.record_offset DESC LIMIT 1),
        t.metadata
    ) AS metadata,
    t.created_by, t.created_at, t.request_hash, a.last_activity_at, a.history_version,
    (SELECT m.run_id FROM messages m LEFT JOIN plans p ON p.run_id = m.run_id
        WHERE m.thread_id = t.thread_id AND p.failure IS DISTINCT FROM 'busy' AND p.failure IS DISTINCT FROM 'deleted'
        ORDER BY m.record_offset DESC LIMIT 1) AS current_run_id,
    EXISTS (SELECT FROM runs r
        WHERE r.thread_id = t.thread_id AND r.ended_at IS NULL AND r.forked_from IS NULL
        AND (r.status IS DISTINCT FROM 'suspended' OR r.suspension->>'reason' IN ('timer', 'child'))) AS busy
FROM thread_activity a
JOIN threads t ON t.thread_id = a.thread_id
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = t.thread_id);

CREATE VIEW {views}.events WITH (security_invoker = true) AS
SELECT e.run_id, e.seq, e.event_id, e.tenant_id, e.thread_id, e.type, e.occurred_at,
    e.topic, e.partition, e.record_offset, e.body
FROM events e
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = e.thread_id);

CREATE VIEW {views}.steps WITH (security_invoker = true) AS
SELECT s.run_id, s.step_id, s.tenant_id, s.thread_id, s.status, s.attempt, s.progress, s.fraction, s.output, s.untrusted,
    CASE WHEN s.status <> 'completed' THEN s.error END AS error,
    CASE WHEN s.status = 'waiting' THEN s.wake_at END AS wake_at,
    s.started_at, s.ended_at, s.last_seq
FROM steps s
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = s.thread_id);

CREATE VIEW {views}.calls WITH (security_invoker = true) AS
SELECT c.run_id, c.call_id, c.tenant_id, c.thread_id, c.call_key, c.step_id, c.kind, c.name, c.status, c.attempt,
    c.policy, c.request, c.result, c.untrusted, c.error, c.error_type, c.duration_ms, c.usage, c.started_at, c.ended_at,
    c.first_seq, c.last_seq
FROM calls c
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = c.thread_id);

CREATE VIEW {views}.signals WITH (security_invoker = true) AS
SELECT s.event_id, s.tenant_id, s.thread_id, s.run_id, s.type, s.occurred_at, s.body, s.partition, s.record_offset
FROM signals s
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = s.thread_id);

CREATE VIEW {views}.documents WITH (security_invoker = true) AS
SELECT d.document_id, d.tenant_id, d.filename, d.content_type, d.size, d.object_key, d.sha256, d.uploaded_by,
    d.created_at, d.partition,
    coalesce(p.status, 'uploaded') AS status, p.pages, p.characters, p.chunks,
    CASE WHEN p.status = 'failed' THEN p.stage END AS stage,
    CASE WHEN p.status = 'failed' THEN p.error END AS error
FROM documents d
LEFT JOIN document_progress p ON p.document_id = d.document_id
WHERE NOT EXISTS (SELECT FROM deleted_documents x WHERE x.document_id = d.document_id);

CREATE VIEW {views}.chunks WITH (security_invoker = true) AS
SELECT c.document_id, c."index", c.tenant_id, d.filename, c.start, c."end", c.page, c.heading, c.text, c.words
FROM chunks c
JOIN documents d ON d.document_id = c.document_id
WHERE NOT EXISTS (SELECT FROM deleted_documents x WHERE x.document_id = c.document_id);

-- For the new owner of a partition: every run that has not ended, deleted threads included, and whole journals.
CREATE VIEW {views}.open_runs WITH (security_invoker = true) AS
SELECT r.run_id, r.thread_id, r.tenant_id, r.partition, r.parent_run_id, r.forked_from, r.status, r.suspension,
    r.on_busy, r.planned, r.plan_failure, r.created_at, r.message_offset, r.deleted,
    CASE WHEN r.status = 'queued' THEN e.body END AS message
FROM {views}.all_runs r
LEFT JOIN events e ON e.run_id = r.run_id AND e.seq = 0
WHERE r.ended_at IS NULL;

CREATE VIEW {views}.journals WITH (security_invoker = true) AS
SELECT e.run_id, e.seq, e.tenant_id, e.thread_id, e.type, e.partition, e.body FROM events e;
