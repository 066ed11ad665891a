-- A row without a vector is a claim: until then one engine computes the vector, and the others wait for it.
ALTER TABLE embeddings ALTER COLUMN vector DROP NOT NULL, ADD claimed_until timestamptz;
