-- The rows of a database at 0006. Migrations are append-only: this file, and the checksums below, never change.
DELETE FROM schema_migrations;
INSERT INTO schema_migrations (name, checksum, applied_at) VALUES
    ('0001_create_registered_tools', 'bc4952b29f60743306c0728723fc7e80ac4a8ac15f308be1fb35671c2c5d43ca', '2026-01-01Z'),
    ('0002_create_agent_memories', 'd62b340490e07459cc2a90f2359dc7bc83aa5f459266e4032a14ba8c3e1700ab', '2026-01-01Z'),
    ('0003_create_embeddings', 'c54fa50fb7039c22feb8696929908ee4be7fafe29ab81713b3cf5bf9f2dc5852', '2026-01-01Z'),
    ('0004_create_index_queue', '32f0d0ead3635eb1b98b80a0cddd8f7947369517b3643e1209cb40a8918a2725', '2026-01-01Z'),
    ('0005_create_ingested_files', '07a4767104239ff3b19e35cc8a01ca887c6d97e0b0efed519d4ed6aa08a8ce99', '2026-01-01Z'),
    ('0006_create_index_log', 'a8ba76afae153c1db4c40015c62ed598c50625f2063cb9c7b8287e2e55c58c73', '2026-01-01Z');

INSERT INTO agent_memories (id, namespace, agent_id, content, tags, metadata, importance, occurred_at, version) VALUES
    ('00000000-0000-4000-8000-000000000001', 'home', 'ann', 'The ferry leaves at nine.', '{travel,ferry}',
     '{"harbour": {"pier": 4}, "tide": null}', 0.1, '2026-01-02 09:00Z', 3);
INSERT INTO agent_memories (id, namespace, agent_id, session_id, content, occurred_at) VALUES
    ('00000000-0000-4000-8000-000000000002', 'home', 'ann', 'call', 'Who feeds the cat?', '2026-01-03 10:00Z'),
    ('00000000-0000-4000-8000-000000000003', 'home', 'bob', 'call', 'Bob does, at six.', '2026-01-03 10:01Z'),
    ('00000000-0000-4000-8000-000000000004', 'office', 'ann', 'call', 'Nobody is here.', '2026-01-03 10:02Z');
INSERT INTO agent_memories (id, namespace, agent_id, kind, content, occurred_at, superseded_by, version) VALUES
    ('00000000-0000-4000-8000-000000000005', 'home', 'ann', 'semantic', 'Tea is at four.', '2026-01-04Z',
     '00000000-0000-4000-8000-000000000006', 2),
    ('00000000-0000-4000-8000-000000000006', 'home', 'ann', 'semantic', 'Tea is at five.', '2026-01-05Z', NULL, 1);
INSERT INTO agent_memories (id, namespace, agent_id, content, occurred_at, expires_at) VALUES
    ('00000000-0000-4000-8000-000000000007', 'home', 'ann', 'The code is 1234.', '2026-01-06Z', '2026-01-07Z'),
    ('00000000-0000-4000-8000-000000000008', 'home', 'ann', 'The code is 5678.', '2026-01-06Z', '2036-01-07Z');
INSERT INTO agent_memories (id, namespace, agent_id, kind, content, metadata, occurred_at, ingested) VALUES
    ('00000000-0000-4000-8000-000000000009', 'home', 'ann', 'document', 'def boil(): ...',
     '{"source": "kitchen", "path": "tea.py"}', '2026-01-08Z', true),
    ('00000000-0000-4000-8000-00000000000a', 'home', 'ann', 'document', 'def pour(): ...',
     '{"source": "kitchen", "path": "tea.py"}', '2026-01-08Z', true);

INSERT INTO registered_tools (tool_id, name, description, endpoint_url, request_schema, response_schema,
                              required_capabilities, namespace, point_id, version, enabled) VALUES
    ('sendMail', 'Mail', 'Sends letters.', 'https://mail.example.com/send',
     '{"type": "object", "properties": {"to": {"type": "string", "description": "The recipient."}}}',
     '{"type": "object"}', '{network}', 'home', '00000000-0000-4000-9000-000000000001', 2, true),
    ('fax', 'Fax', 'Sends faxes.', 'https://fax.example.com', NULL, NULL, NULL, 'home',
     '00000000-0000-4000-9000-000000000002', 1, false);

INSERT INTO ingested_files (namespace, agent_id, source, path, digest, memory_ids, stored_at) VALUES
    ('home', 'ann', 'kitchen', 'tea.py', '\x0102',
     '{00000000-0000-4000-8000-000000000009,00000000-0000-4000-8000-00000000000a}', '2026-01-08Z');

INSERT INTO embeddings (model, content_hash, vector) VALUES
    ('model', sha256('Tea is at five.'), '\x0000803f000000c0'),
    ('model', sha256('Who feeds the cat?'), '\x0000003f00000000');
INSERT INTO embedding_counts (model, computed) VALUES ('model', 7);

-- The triggers have queued everything above. Most of it has been indexed since.
DELETE FROM index_queue;
INSERT INTO index_queue (kind, item_id, priority, attempts, claimed_until, queued_at, former_positions) VALUES
    ('memory', '00000000-0000-4000-8000-000000000003', 0, 1, '2036-01-01Z', '2026-01-09 10:00Z',
     '[{"namespace": "home", "session_id": "other", "occurred_at": "2026-01-03T10:01:00+00:00", "sequence": 3}]'),
    ('memory', '00000000-0000-4000-8000-000000000009', 1, 0, NULL, '2026-01-09 10:01Z', '[]');
INSERT INTO index_queue (kind, item_id, attempts, retry_at, last_error, queued_at) VALUES
    ('tool', '00000000-0000-4000-9000-000000000001', 3, '2026-01-09 11:00Z', 'Broken', '2026-01-09 10:02Z');

UPDATE index_log
   SET report = '{"generation": "g1", "model": "model", "dimensions": 2,
                  "items": {"memory": 8, "tool": 1}, "points": {"memory": 9, "tool": 1}}',
       published_at = '2026-01-09 10:03Z', rebuild_requested_at = '2026-01-09 10:04Z';
