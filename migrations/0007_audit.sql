-- Who did what, from where. Written in the transaction of the act; the console can add and read, nothing else.

CREATE TABLE audit_events (
    id          uuid        PRIMARY KEY,
    account_id  uuid        NOT NULL REFERENCES accounts,
    at          timestamptz NOT NULL DEFAULT now(),
    actor_id    uuid        REFERENCES users,
    actor_email text        NOT NULL,
    action      text        NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    target_id   uuid,
    -- As it was called then.
    target_name text        NOT NULL DEFAULT '',
    client      inet        NOT NULL,
    user_agent  text        NOT NULL DEFAULT '' CHECK (length(user_agent) <= 300),
    -- Before and after; never a secret.
    detail      jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_events_by_age ON audit_events (account_id, at DESC, id DESC);
