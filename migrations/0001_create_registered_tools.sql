-- The tables of tools and memories are authoritative; everything else can be computed again from them.

-- A text that exceeds a tsvector's megabyte is searchable by its beginning instead of being refused.
CREATE FUNCTION searchable_text(content text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN to_tsvector('pg_catalog.english', content);
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN to_tsvector('pg_catalog.english', left(content, 60000));
END
$$;

-- A query that matches every text which shares a word with the question, NULL without any word. The question is never
-- parsed as search syntax, and only the most repeated words of a very long one count.
CREATE FUNCTION any_word_of(question text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
        SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
          FROM (
            SELECT lexeme
              FROM unnest(searchable_text(left(question, 20000)))
             ORDER BY cardinality(positions) DESC, positions[1]
             LIMIT 64
          ) AS words
    );

-- Names are searched verbatim and as words: getUser_by-ID is also get User by ID.
CREATE FUNCTION split_identifier(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN name || ' ' || translate(regexp_replace(name, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '_-./:', '     ');


CREATE TABLE registered_tools (
    id                    serial PRIMARY KEY,
    tool_id               varchar(255) NOT NULL,
    name                  varchar(255) NOT NULL,
    description           text NOT NULL,
    endpoint_url          varchar(1024) NOT NULL,
    request_schema        jsonb,
    response_schema       jsonb,
    required_capabilities text[],
    created_at            timestamptz DEFAULT now(),
    updated_at            timestamptz DEFAULT now(),
    -- Scope, versions and search. The defaults let a row be inserted without these columns.
    namespace             text NOT NULL DEFAULT 'default',
    point_id              uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    version               int NOT NULL DEFAULT 1,
    enabled               boolean NOT NULL DEFAULT true,
    search                tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.english', split_identifier(name) || ' ' || split_identifier(tool_id)), 'A')
        || setweight(searchable_text(description), 'B')
        || setweight(jsonb_to_tsvector('pg_catalog.english', coalesce(request_schema, '{}'), '["key", "string"]'), 'D')
    ) STORED,
    UNIQUE (namespace, tool_id)
);

CREATE INDEX idx_tools_name ON registered_tools (name);
CREATE INDEX idx_tools_any_case ON registered_tools (namespace, lower(name));
CREATE INDEX idx_tools_capabilities ON registered_tools USING gin (required_capabilities);
CREATE INDEX idx_tools_search ON registered_tools USING gin (search);

-- Whether a tool passes a filter, of which NULL parts are ignored. `required`: capabilities that the tool must need;
-- `agent_has`: the only ones that it may need. The planner inlines this, so indexes stay usable: that takes LANGUAGE
-- sql, a single expression, no STRICT and no SET.
CREATE FUNCTION tool_matches(tool registered_tools, namespace text, required text[], agent_has text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN tool.namespace = tool_matches.namespace
       AND tool.enabled
       AND (required IS NULL OR tool.required_capabilities @> required)
       AND (agent_has IS NULL OR coalesce(tool.required_capabilities, '{}') <@ agent_has);
