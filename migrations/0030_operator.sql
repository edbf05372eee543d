-- The operator's own tables: what is on offer, from whom, at which price. They belong to no account, so row-level
-- security does not guard them; a transaction that an operator has opened does. `open_operator_tx` opens it for the
-- live session of somebody the console names as an operator, and the triggers below let the console's role write in no
-- other. So a page of an account cannot change a price: it has no such transaction.

-- Transactions that operators have opened, with who and from where. Nobody but the function writes here.
CREATE UNLOGGED TABLE operator_transactions (
    id         xid8        PRIMARY KEY,
    actor_id   uuid        NOT NULL,
    email      text        NOT NULL,
    client     inet        NOT NULL,
    user_agent text        NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);

-- Who changed what of the operator's tables, whichever way: written by triggers, in the transaction of the change.
CREATE TABLE operator_events (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- NULL: a role of the database, and no person, such as the schema's owner.
    actor_id   uuid        REFERENCES users,
    actor      text        NOT NULL,
    client     inet,
    user_agent text        NOT NULL DEFAULT '',
    action     text        NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    -- As it was called then.
    target     text        NOT NULL,
    before     jsonb,
    after      jsonb
);

ALTER TABLE models ADD COLUMN row_version bigint NOT NULL DEFAULT 1;
ALTER TABLE upstreams ADD COLUMN row_version bigint NOT NULL DEFAULT 1;

-- Opens the transaction as an operator's. False: nobody's live session, or not of one of `operators`.
CREATE FUNCTION open_operator_tx(hash bytea, idle interval, operators text[], from_address inet, agent text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- One operator at a time, so that two cannot give one name to two models.
    PERFORM pg_advisory_xact_lock(hashtext('operator'));
    DELETE FROM operator_transactions WHERE at < now() - interval '1 hour';
    INSERT INTO operator_transactions (id, actor_id, email, client, user_agent)
    SELECT pg_current_xact_id(), users.id, users.email, from_address, agent
    FROM sessions JOIN users ON users.id = sessions.user_id
    WHERE sessions.token_hash = hash AND sessions.ends_at > now() AND sessions.last_seen_at > now() - idle
      AND users.email = ANY (operators);
    RETURN FOUND;
END
$$;

CREATE FUNCTION is_operator_tx() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM operator_transactions WHERE id = pg_current_xact_id_if_assigned());
$$;

-- As the role that writes: its owner (migrations, psql) may, everybody else needs an operator's transaction.
CREATE FUNCTION require_operator_tx() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
       AND NOT is_operator_tx() THEN
        RAISE insufficient_privilege USING MESSAGE = format('only an operator may change %s', TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION next_row_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.row_version := OLD.row_version + 1;
    RETURN NEW;
END
$$;

-- Writes an event for whoever has opened this transaction.
CREATE FUNCTION note_operator_event(of_action text, of_target text, was jsonb, is_now jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    opened operator_transactions;
BEGIN
    SELECT * INTO opened FROM operator_transactions WHERE id = pg_current_xact_id();
    INSERT INTO operator_events (actor_id, actor, client, user_agent, action, target, before, after)
    VALUES (opened.actor_id, coalesce(opened.email, session_user), opened.client, coalesce(opened.user_agent, ''),
            of_action, of_target, was, is_now);
END
$$;

-- One event a row. Its arguments: what it is called in the log, and the column that names it.
CREATE FUNCTION operator_row_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was    jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - 'row_version' END;
    is_now jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - 'row_version' END;
BEGIN
    IF was IS DISTINCT FROM is_now THEN
        PERFORM note_operator_event(
            TG_ARGV[0] || CASE TG_OP WHEN 'INSERT' THEN '.added' WHEN 'UPDATE' THEN '.changed' ELSE '.removed' END,
            coalesce(is_now, was) ->> TG_ARGV[1], was, is_now
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER row_version BEFORE UPDATE ON models FOR EACH ROW EXECUTE FUNCTION next_row_version();
CREATE TRIGGER row_version BEFORE UPDATE ON upstreams FOR EACH ROW EXECUTE FUNCTION next_row_version();

DO $$
DECLARE
    operator_table text;
BEGIN
    FOREACH operator_table IN ARRAY ARRAY['models', 'upstreams', 'model_aliases', 'model_upstreams'] LOOP
        EXECUTE format('CREATE TRIGGER operators_only BEFORE INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH STATEMENT EXECUTE FUNCTION require_operator_tx()', operator_table);
        EXECUTE format('CREATE TRIGGER operator_event AFTER INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH ROW EXECUTE FUNCTION operator_row_changed(%L, %L)', operator_table,
                       CASE operator_table WHEN 'models' THEN 'model' WHEN 'upstreams' THEN 'upstream'
                                           WHEN 'model_aliases' THEN 'alias' ELSE 'way' END,
                       CASE operator_table WHEN 'models' THEN 'id' WHEN 'upstreams' THEN 'name' ELSE 'model_id' END);
    END LOOP;
END
$$;

-- The newest changes, newest first; nothing outside an operator's transaction.
CREATE FUNCTION list_operator_events(most integer) RETURNS SETOF operator_events
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM operator_events WHERE is_operator_tx() ORDER BY id DESC LIMIT most;
$$;

-- What each gateway holds of all accounts' limits, by measure; nothing outside an operator's transaction.
CREATE FUNCTION list_held_leases() RETURNS TABLE (gateway_id uuid, measure text, leases bigint, amount bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT leases.gateway_id, limits.measure, count(*), least(sum(leases.amount), 9223372036854775807)::bigint
    FROM leases JOIN limits ON limits.id = leases.limit_id
    WHERE leases.amount > 0 AND is_operator_tx()
    GROUP BY leases.gateway_id, limits.measure;
$$;

-- Releases all that a silent gateway holds, of whichever account. Answers with the number of limits that had something
-- to give back; NULL where the gateway was heard within the last 30 s.
CREATE FUNCTION release_gateway(which uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    held     record;
    much     bigint;
    released bigint := 0;
BEGIN
    IF NOT is_operator_tx() THEN
        RAISE insufficient_privilege USING MESSAGE = 'only an operator may release what a gateway holds';
    END IF;
    PERFORM FROM gateways WHERE id = which FOR UPDATE;
    IF EXISTS (
        SELECT FROM gateways
        WHERE id = which AND stopped_at IS NULL AND heard_at > clock_timestamp() - interval '30 s'
    ) THEN
        RETURN NULL;
    END IF;
    FOR held IN
        SELECT DISTINCT account_id, limit_id FROM leases WHERE gateway_id = which AND amount > 0 ORDER BY limit_id
    LOOP
        PERFORM set_config('latchkey.account_id', held.account_id::text, true);
        much := release_lease(held.limit_id, which);
        IF much > 0 THEN
            released := released + 1;
        END IF;
    END LOOP;
    PERFORM set_config('latchkey.account_id', '', true);
    IF released > 0 THEN
        PERFORM note_operator_event('gateway.released', (SELECT name FROM gateways WHERE id = which), NULL,
                                    jsonb_build_object('gateway', which, 'limits', released));
    END IF;
    RETURN released;
END
$$;

GRANT EXECUTE ON FUNCTION open_operator_tx, is_operator_tx, list_operator_events, list_held_leases, release_gateway
    TO latchkey_console;
GRANT INSERT, UPDATE ON models, upstreams TO latchkey_console;
GRANT INSERT, UPDATE, DELETE ON model_aliases, model_upstreams TO latchkey_console;
