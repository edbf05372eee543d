-- Sign-in codes have no account either, so the console's role goes through functions here as for sessions.

-- What has been sent lately, for the send limits: to the address, to the client's network and to the wider one.
CREATE FUNCTION login_codes_lately(
    address text, from_network inet, from_wide_network inet,
    OUT seconds_since_last bigint, OUT address_hour bigint, OUT address_day bigint, OUT network_hour bigint,
    OUT wide_network_hour bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT
        (SELECT floor(extract(epoch FROM now() - max(created_at)))::bigint FROM login_codes
         WHERE email = address AND created_at > now() - interval '1 day'),
        (SELECT count(*) FROM login_codes WHERE email = address AND created_at > now() - interval '1 hour'),
        (SELECT count(*) FROM login_codes WHERE email = address AND created_at > now() - interval '1 day'),
        (SELECT count(*) FROM login_codes
         WHERE network = from_network AND created_at > now() - interval '1 hour'),
        (SELECT count(*) FROM login_codes
         WHERE wide_network = from_wide_network AND created_at > now() - interval '1 hour');
$$;

-- Writes a code down and voids the older ones of its browser.
CREATE FUNCTION write_login_code(
    new_id uuid, address text, browser bytea, new_salt bytea, new_digest bytea, from_network inet,
    from_wide_network inet, life interval
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE login_codes SET voided_at = now()
    WHERE browser_hash = browser AND consumed_at IS NULL AND voided_at IS NULL;
    INSERT INTO login_codes (id, email, browser_hash, salt, digest, network, wide_network, expires_at)
    VALUES (new_id, address, browser, new_salt, new_digest, from_network, from_wide_network, now() + life);
$$;

-- The code a browser may try, if it has one that is alive.
CREATE FUNCTION find_login_code(browser bytea, most_tries smallint)
RETURNS TABLE (id uuid, email text, salt bytea, digest bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.id, c.email, c.salt, c.digest FROM login_codes c
    WHERE c.browser_hash = browser AND c.consumed_at IS NULL AND c.voided_at IS NULL AND c.tries < most_tries
      AND c.expires_at > now()
    ORDER BY c.created_at DESC LIMIT 1;
$$;

-- Books one try; says whether it used the code up.
CREATE FUNCTION try_login_code(code uuid, is_right boolean, most_tries smallint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH tried AS (
        UPDATE login_codes SET tries = tries + 1, consumed_at = CASE WHEN is_right THEN now() END
        WHERE id = code AND consumed_at IS NULL AND voided_at IS NULL AND tries < most_tries AND expires_at > now()
        RETURNING consumed_at IS NOT NULL AS used
    )
    SELECT EXISTS (SELECT FROM tried WHERE used);
$$;

GRANT EXECUTE ON FUNCTION login_codes_lately, write_login_code, find_login_code, try_login_code TO latchkey_console;
REVOKE ALL ON login_codes FROM latchkey_console;
REVOKE UPDATE (tries, consumed_at, voided_at) ON login_codes FROM latchkey_console;
