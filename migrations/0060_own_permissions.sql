-- Permissions of the operator's own, each with the routes it guards: calls that go through the gateway as those of models
-- do, to an upstream, at a price per call. A route whose permission is not enabled does not exist.

CREATE TABLE own_permissions (
    -- As rules of keys and groups name it; it never changes, and a permission is never deleted, so that no other one can
    -- come by what keys were given.
    name        text        PRIMARY KEY
                            CHECK (name ~ '^[a-z][a-z0-9_]*(:[a-z][a-z0-9_]*)?$' AND length(name) <= 64)
                            -- What begins like a built-in one would be taken for one.
                            CHECK (split_part(name, ':', 1) NOT IN ('chat', 'completions', 'responses', 'messages',
                                   'embeddings', 'images', 'audio', 'moderations', 'models', 'key')),
    -- What it lets a key do, in one line.
    allows      text        NOT NULL CHECK (length(allows) BETWEEN 1 AND 200 AND allows !~ '[[:cntrl:]]'),
    -- Not enabled is archived.
    enabled     boolean     NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    row_version bigint      NOT NULL DEFAULT 1
);

-- The grammar of paths and what they may not match is that of domain::own_route; a test holds the two together.
CREATE TABLE own_routes (
    permission    text   NOT NULL REFERENCES own_permissions,
    method        text   NOT NULL CHECK (method IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
    path          text   NOT NULL
                         CHECK (path ~ '^/v1/[A-Za-z0-9._~-]+(/([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\})){0,7}$'
                                AND path !~ '/\.\.?(/|$)' AND length(path) <= 200),
    -- Two paths of one shape match the same requests. Archived permissions keep theirs, so that they can come back.
    shape         text   NOT NULL GENERATED ALWAYS AS (regexp_replace(path, '\{[^}]*\}', '{}', 'g')) STORED
                         -- The gateway's own paths, and what would match them.
                         CHECK (shape !~ '^/v1/(key(/|$)|models$|models/)' AND shape NOT IN (
                                '/v1/chat/completions', '/v1/chat/{}', '/v1/completions', '/v1/responses',
                                '/v1/messages', '/v1/embeddings', '/v1/images/generations', '/v1/images/{}',
                                '/v1/audio/speech', '/v1/audio/transcriptions', '/v1/audio/{}', '/v1/moderations')),
    upstream_id   uuid   NOT NULL REFERENCES upstreams ON DELETE RESTRICT,
    -- Below the upstream's base URL; its values are some of the path's.
    upstream_path text   NOT NULL
                         CHECK (upstream_path ~ '^(/([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\})){1,8}$'
                                AND upstream_path !~ '/\.\.?(/|$)' AND length(upstream_path) <= 200),
    -- Nano-dollars. Zero is free.
    price         bigint NOT NULL CHECK (price BETWEEN 0 AND 100000000000),
    PRIMARY KEY (method, shape)
);
CREATE INDEX own_routes_of_permission ON own_routes (permission);
CREATE INDEX own_routes_of_upstream ON own_routes (upstream_id);

CREATE TRIGGER row_version BEFORE UPDATE ON own_permissions FOR EACH ROW EXECUTE FUNCTION next_row_version();

DO $$
DECLARE
    operator_table text;
BEGIN
    FOREACH operator_table IN ARRAY ARRAY['own_permissions', 'own_routes'] LOOP
        EXECUTE format('CREATE TRIGGER operators_only BEFORE INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH STATEMENT EXECUTE FUNCTION require_operator_tx()', operator_table);
        EXECUTE format('CREATE TRIGGER operator_event AFTER INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH ROW EXECUTE FUNCTION operator_row_changed(%L, %L)', operator_table,
                       CASE operator_table WHEN 'own_permissions' THEN 'permission' ELSE 'route' END,
                       CASE operator_table WHEN 'own_permissions' THEN 'name' ELSE 'path' END);
        -- What is on offer has changed: gateways read it as they read models.
        EXECUTE format('CREATE TRIGGER policy_changed AFTER INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH STATEMENT EXECUTE FUNCTION policy_models_changed()', operator_table);
    END LOOP;
END
$$;

GRANT SELECT ON own_permissions, own_routes TO latchkey_gateway, latchkey_console;
GRANT INSERT, UPDATE ON own_permissions TO latchkey_console;
GRANT INSERT, UPDATE, DELETE ON own_routes TO latchkey_console;

-- The price of the call, where it is a call of such a route; it was charged where cost_nano is not zero.
ALTER TABLE usage_records ADD COLUMN price_per_call bigint;
