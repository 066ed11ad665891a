-- What became of the tools that were used: the tasks, each text once, and the outcomes of the calls that served them.
-- A task's id is made of its namespace and text, so it is the same wherever the same is recorded.
CREATE TABLE past_tasks (
    id         uuid PRIMARY KEY,
    sequence   bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    namespace  text NOT NULL,
    task       text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX past_tasks_namespace ON past_tasks (namespace, created_at);

-- Tools are named and not referenced: one that comes back under its id has its experience again.
CREATE TABLE tool_outcomes (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    task_id        uuid NOT NULL REFERENCES past_tasks (id) ON DELETE CASCADE,
    namespace      text NOT NULL,
    tool_id        text NOT NULL,
    tool_version   int NOT NULL,
    worked         boolean NOT NULL,
    why            text,
    milliseconds   int,
    agent_id       text NOT NULL,
    client         text,
    client_version text,
    transport      text,
    at             timestamptz NOT NULL
);
CREATE INDEX tool_outcomes_task ON tool_outcomes (task_id, tool_id);
CREATE INDEX tool_outcomes_tool ON tool_outcomes (namespace, tool_id);

ALTER TABLE index_queue
    DROP CONSTRAINT index_queue_kind_check, ADD CHECK (kind IN ('memory', 'tool', 'task'));

-- A task is never changed. It comes after stores, so that thousands of them delay none.
CREATE FUNCTION mark_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mark_for_indexing('task', coalesce(NEW.id, OLD.id), 1, '[]');
    RETURN NULL;
END
$$;
CREATE TRIGGER past_tasks_mark AFTER INSERT OR DELETE ON past_tasks
    FOR EACH ROW EXECUTE FUNCTION mark_task();
