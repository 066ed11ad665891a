-- No text is embedded twice: vectors by model and SHA-256 of the text, as little-endian float32.
CREATE TABLE embeddings (
    model        text NOT NULL,
    content_hash bytea NOT NULL,
    vector       bytea NOT NULL,
    PRIMARY KEY (model, content_hash)
);
-- Floats do not compress.
ALTER TABLE embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;

-- How many vectors were ever computed. It shows that a rebuild computed none.
CREATE TABLE embedding_counts (
    model    text PRIMARY KEY,
    computed bigint NOT NULL
);
