-- The policy version: one number that rises with every change a gateway must know of, in the transaction of the
-- change. Whoever changes policy holds this row until commit, so versions become visible in their own order.

CREATE TABLE policy_version (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    version    bigint      NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO policy_version (version) VALUES (0);

-- What changed at each version. A gateway that is further behind than this log reaches loads everything.
CREATE TABLE policy_changes (
    version bigint      NOT NULL,
    kind    text        NOT NULL CHECK (kind IN ('account', 'group', 'key', 'models')),
    id      uuid        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, kind, id)
);

CREATE FUNCTION note_policy_change(kind text, ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    current bigint;
BEGIN
    IF cardinality(ids) = 0 OR ids IS NULL THEN
        RETURN;
    END IF;
    UPDATE policy_version SET version = version + 1, changed_at = now() RETURNING version INTO current;
    INSERT INTO policy_changes (version, kind, id)
    SELECT current, note_policy_change.kind, changed FROM unnest(ids) AS changed
    ON CONFLICT DO NOTHING;
    -- A hint only: whoever misses it polls.
    PERFORM pg_notify('latchkey_policy', current::text);
END
$$;

-- One function for all tables: its arguments are the kind and the column that names what changed.
CREATE FUNCTION policy_row_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ids uuid[];
BEGIN
    EXECUTE format('SELECT array_agg(DISTINCT %I) FROM changed', TG_ARGV[1]) INTO ids;
    PERFORM note_policy_change(TG_ARGV[0], ids);
    RETURN NULL;
END
$$;

CREATE FUNCTION policy_models_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM note_policy_change('models', ARRAY['00000000-0000-0000-0000-000000000000'::uuid]);
    RETURN NULL;
END
$$;

CREATE TRIGGER policy_inserted AFTER INSERT ON accounts REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('account', 'id');
CREATE TRIGGER policy_updated AFTER UPDATE ON accounts REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('account', 'id');
CREATE TRIGGER policy_inserted AFTER INSERT ON groups REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('group', 'id');
CREATE TRIGGER policy_updated AFTER UPDATE ON groups REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('group', 'id');
CREATE TRIGGER policy_inserted AFTER INSERT ON api_keys REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('key', 'id');
CREATE TRIGGER policy_updated AFTER UPDATE ON api_keys REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('key', 'id');
CREATE TRIGGER policy_deleted AFTER DELETE ON api_keys REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('key', 'id');
CREATE TRIGGER policy_inserted AFTER INSERT ON key_secrets REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('key', 'key_id');
CREATE TRIGGER policy_updated AFTER UPDATE ON key_secrets REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('key', 'key_id');
CREATE TRIGGER policy_deleted AFTER DELETE ON key_secrets REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION policy_row_changed('key', 'key_id');
CREATE TRIGGER policy_changed AFTER INSERT OR UPDATE OR DELETE ON models
    FOR EACH STATEMENT EXECUTE FUNCTION policy_models_changed();

-- Each gateway writes the version it enforces: the console's proof.
CREATE TABLE gateways (
    id             uuid        PRIMARY KEY,
    name           text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    policy_version bigint      NOT NULL,
    started_at     timestamptz NOT NULL DEFAULT now(),
    heard_at       timestamptz NOT NULL DEFAULT now(),
    -- Set by an orderly stop: such a gateway is not waited for.
    stopped_at     timestamptz
);
