-- additive
-- Access tokens of the HTTP transport. A token is kept as its SHA-256 only: the secret has 256 random bits, so nothing
-- slower is needed. The prefix is the part of a token that is no secret, by which people recognise it.
CREATE TABLE access_tokens (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    digest       bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    prefix       text NOT NULL,
    namespace    text NOT NULL,
    agent_id     text NOT NULL,
    rights       text[] NOT NULL CHECK (rights <@ ARRAY['read', 'write', 'tools', 'admin'] AND cardinality(rights) > 0),
    note         text,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
