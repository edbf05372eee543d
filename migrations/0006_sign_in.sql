-- Signing in by a code sent to an email address, and the sessions that follow.

CREATE TABLE login_codes (
    id           uuid        PRIMARY KEY,
    email        text        NOT NULL,
    -- SHA-256 of the asking browser's cookie: the code works in that browser only.
    browser_hash bytea       NOT NULL CHECK (octet_length(browser_hash) = 32),
    salt         bytea       NOT NULL CHECK (octet_length(salt) = 16),
    digest       bytea       NOT NULL CHECK (octet_length(digest) = 32),
    tries        smallint    NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 5),
    -- Who asked, for the send limits: the client's network and the wider one around it.
    network      inet        NOT NULL,
    wide_network inet        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    consumed_at  timestamptz,
    voided_at    timestamptz
);
CREATE INDEX login_codes_of_browser ON login_codes (browser_hash, created_at DESC);
CREATE INDEX login_codes_of_email ON login_codes (email, created_at DESC);
CREATE INDEX login_codes_of_network ON login_codes (network, created_at DESC);
CREATE INDEX login_codes_of_wide_network ON login_codes (wide_network, created_at DESC);

CREATE TABLE sessions (
    id           uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users,
    -- SHA-256 of the cookie: a copy of this table signs nobody in.
    token_hash   bytea       NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    client       inet        NOT NULL,
    user_agent   text        NOT NULL CHECK (length(user_agent) <= 300),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    ends_at      timestamptz NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_id, created_at DESC);

-- What has no account yet goes through these functions; the console's role cannot touch the tables themselves.

-- Finds or makes the user of an address.
CREATE FUNCTION sign_in_user(new_id uuid, address text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    found uuid;
BEGIN
    INSERT INTO users (id, email) VALUES (new_id, address) ON CONFLICT (email) DO NOTHING;
    SELECT id INTO found FROM users WHERE email = address;
    RETURN found;
END
$$;

CREATE FUNCTION open_session(
    new_id uuid, of_user uuid, hash bytea, from_address inet, agent text, life interval, most integer
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO sessions (id, user_id, token_hash, client, user_agent, ends_at)
    VALUES (new_id, of_user, hash, from_address, agent, now() + life);
    -- The oldest make room; ended ones go too.
    DELETE FROM sessions
    WHERE user_id = of_user
      AND (ends_at <= now() OR id IN (
          SELECT id FROM sessions WHERE user_id = of_user ORDER BY created_at DESC, id DESC OFFSET most
      ));
END
$$;

-- The live session of a cookie, if any; notes that it was seen, at most once a minute.
CREATE FUNCTION find_session(hash bytea, idle interval)
RETURNS TABLE (session_id uuid, user_id uuid, email text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE sessions SET last_seen_at = now()
    WHERE token_hash = hash AND ends_at > now()
      AND last_seen_at > now() - idle AND last_seen_at < now() - interval '1 minute';
    RETURN QUERY
    SELECT sessions.id, users.id, users.email
    FROM sessions JOIN users ON users.id = sessions.user_id
    WHERE sessions.token_hash = hash AND sessions.ends_at > now() AND sessions.last_seen_at > now() - idle;
END
$$;

CREATE FUNCTION close_session(hash bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM sessions WHERE token_hash = hash;
$$;

-- The accounts a user belongs to, the one joined first first.
CREATE FUNCTION accounts_of_user(of_user uuid)
RETURNS TABLE (account_id uuid, slug text, name text, role text, billing text, suspended boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT accounts.id, accounts.slug, accounts.name, members.role, accounts.billing,
           accounts.suspended_at IS NOT NULL
    FROM members JOIN accounts ON accounts.id = members.account_id
    WHERE members.user_id = of_user
    ORDER BY members.created_at, accounts.id;
$$;

-- Makes an account with its default group and its owner.
CREATE FUNCTION open_account(
    new_id uuid, new_group uuid, owner uuid, new_slug text, new_name text, new_billing text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO accounts (id, slug, name, billing) VALUES (new_id, new_slug, new_name, new_billing);
    INSERT INTO members (account_id, user_id, role) VALUES (new_id, owner, 'owner');
    INSERT INTO groups (id, account_id, name) VALUES (new_group, new_id, 'default');
END
$$;
