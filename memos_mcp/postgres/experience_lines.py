"""The lines of an export that hold past tasks and outcomes, with their SQL."""

from typing import Final

from memos_mcp.postgres.line_type import LineType, columns

TASK: Final = LineType(
    "task",
    columns("id namespace task created_at"),
    "SELECT count(*) FROM past_tasks WHERE $1::text IS NULL OR namespace = $1",
    """
    SELECT (to_jsonb(past) - 'sequence' || '{"type": "task"}')::text AS line
      FROM past_tasks AS past
     WHERE $1::text IS NULL
        OR namespace = $1
     ORDER BY sequence
    """,
    """
    INSERT INTO past_tasks (id, namespace, task, created_at)
    SELECT id, namespace, task, created_at
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::past_tasks, line.text::jsonb)
     ORDER BY position
    ON CONFLICT DO NOTHING
    """,
    """
    SELECT position, (old.namespace, old.task) = (new.namespace, new.task) AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::past_tasks, line.text::jsonb) AS new
      JOIN past_tasks AS old ON old.id = new.id
    """,
)
OUTCOME: Final = LineType(
    "outcome",
    columns(
        "id task_id namespace tool_id tool_version worked why milliseconds agent_id client client_version transport at"
    ),
    "SELECT count(*) FROM tool_outcomes WHERE $1::text IS NULL OR namespace = $1",
    """
    SELECT (to_jsonb(one) || '{"type": "outcome"}')::text AS line
      FROM tool_outcomes AS one
     WHERE $1::text IS NULL
        OR namespace = $1
     ORDER BY at, id
    """,
    """
    INSERT INTO tool_outcomes
    SELECT new.*
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::tool_outcomes, line.text::jsonb) AS new
      JOIN past_tasks AS past ON (past.id, past.namespace) = (new.task_id, new.namespace)
     ORDER BY position
    ON CONFLICT DO NOTHING
    """,
    """
    SELECT position, to_jsonb(old) = line.text::jsonb - 'type' AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
      JOIN tool_outcomes AS old ON old.id = (line.text::jsonb ->> 'id')::uuid
    """,
)
