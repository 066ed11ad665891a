-- How a tool is called, and where it comes from: the name of an OpenAPI document or an MCP server, NULL for
-- register_tool. `auth` names a credential; its secret is never stored here. `annotations` are those of an MCP tool.
ALTER TABLE registered_tools
    ADD method      text NOT NULL DEFAULT 'POST' CHECK (method IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD')),
    ADD auth        text,
    ADD source      text,
    ADD annotations jsonb,
    -- Disabled because its source no longer has it, and not by an operator: enabled again when it comes back.
    ADD missing     boolean NOT NULL DEFAULT false;

-- A schema's request used to name its method.
UPDATE registered_tools SET method = 'GET' WHERE upper(request_schema ->> 'x-method') = 'GET';

CREATE INDEX registered_tools_source ON registered_tools (namespace, source) WHERE source IS NOT NULL;
