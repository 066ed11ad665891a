-- additive
-- Who called which tool, when, with what outcome, and the ids that were touched: no content. Records are only added, and
-- deleted when they are too old. One that stands for several calls counts them; one without a namespace is of requests
-- that were not authenticated.
CREATE TABLE audit_records (
    sequence       bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at             timestamptz NOT NULL,
    namespace      text,
    agent_id       text,
    token_id       text,
    client         text,
    client_version text,
    transport      text,
    tool           text,
    outcome        text NOT NULL,
    item_ids       text[] NOT NULL,
    request_id     text,
    calls          bigint NOT NULL
);
CREATE INDEX audit_records_at ON audit_records (at);

CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    RAISE EXCEPTION 'records of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_records_unchanged
    BEFORE UPDATE
    ON audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The records of calls, and the changes of memories that no call of a tool made, which memory_events has: those of
-- commands and imports. A command is named like its event.
CREATE VIEW audit_trail AS
    SELECT at, namespace, agent_id, token_id, client, client_version, transport, tool, outcome, item_ids, request_id,
           calls, sequence
      FROM audit_records
    UNION ALL
    SELECT at, namespace, agent_id, NULL, client, client_version, transport, event, 'ok', ARRAY[memory_id::text], NULL,
           1, sequence
      FROM memory_events
     WHERE transport IS NULL OR transport NOT IN ('stdio', 'streamable-http', 'sse');
