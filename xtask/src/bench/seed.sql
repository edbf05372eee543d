-- One account with two groups and all keys of `bench_keys`, as the console would have made them one by one.
-- As when a dump is restored: no trigger and no foreign key is run for each row; gateways load everything anyway.
SET session_replication_role = replica;

INSERT INTO users (id, email) VALUES ('00000000-0000-7000-8000-000000000001', 'bench@example.com');
INSERT INTO accounts (id, slug, name, billing)
VALUES ('00000000-0000-7000-8000-000000000002', 'bench', 'Bench', 'invoiced');
INSERT INTO members (account_id, user_id, role)
VALUES ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', 'owner');
INSERT INTO models (id, upstream_model, input_price, cached_input_price, output_price, context_window, max_output)
VALUES ('bench', 'bench', 150000000, 75000000, 600000000, 128000, 16384),
       ('bench-paced', 'bench-paced', 150000000, 75000000, 600000000, 128000, 16384);
INSERT INTO groups (id, account_id, name, permissions, models)
VALUES ('00000000-0000-7000-8000-000000000003', '00000000-0000-7000-8000-000000000002', 'bare', NULL, NULL),
       ('00000000-0000-7000-8000-000000000004', '00000000-0000-7000-8000-000000000002', 'full',
        '{chat:read,embeddings:read,models:list}', '{bench,bench-paced,another}');

INSERT INTO api_keys (id, account_id, group_id, name, status, created_by, expires_at, addresses, permissions, models,
                      requests_per_minute)
SELECT id, '00000000-0000-7000-8000-000000000002',
       CASE kind WHEN 'full' THEN '00000000-0000-7000-8000-000000000004'::uuid
                 ELSE '00000000-0000-7000-8000-000000000003' END,
       kind || ' ' || public_id, CASE kind WHEN 'revoked' THEN 'revoked' ELSE 'enabled' END,
       '00000000-0000-7000-8000-000000000001',
       CASE kind WHEN 'full' THEN now() + interval '1 year' END,
       CASE kind WHEN 'full' THEN '{10.0.0.0/8,192.168.0.0/16,127.0.0.1/32}'::cidr[] END,
       CASE kind WHEN 'full' THEN '{embeddings:read,chat:read}'::text[] END,
       CASE kind WHEN 'full' THEN '{another,bench,bench-paced}'::text[] END,
       CASE kind WHEN 'full' THEN 1000000 END
FROM bench_keys;
INSERT INTO key_secrets (id, account_id, key_id, public_id, digest, pepper_version, prefix, last4, form_id)
SELECT gen_random_uuid(), '00000000-0000-7000-8000-000000000002', id, public_id, digest, 1, 'sk-lk-', last4,
       gen_random_uuid()
FROM bench_keys;
INSERT INTO key_stats (key_id, account_id) SELECT id, '00000000-0000-7000-8000-000000000002' FROM bench_keys;

-- A million dollars a month and a billion tokens a day for each full key; ten million dollars for their group.
INSERT INTO limits (id, account_id, key_id, measure, amount, period)
SELECT gen_random_uuid(), '00000000-0000-7000-8000-000000000002', id, measure, amount, period
FROM bench_keys, (VALUES ('cost', 1000000000000000, 'monthly'), ('tokens', 1000000000, 'daily'))
                 AS each_has (measure, amount, period)
WHERE kind = 'full';
INSERT INTO limits (id, account_id, group_id, measure, amount, period)
VALUES (gen_random_uuid(), '00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000004', 'cost',
        10000000000000000, 'monthly');
DROP TABLE bench_keys;
