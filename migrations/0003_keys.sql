-- API keys, their secrets and their counters.

CREATE TABLE api_keys (
    id          uuid        PRIMARY KEY,
    account_id  uuid        NOT NULL,
    group_id    uuid        NOT NULL,
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    note        text        NOT NULL DEFAULT '' CHECK (length(note) <= 500),
    environment text        CHECK (length(environment) BETWEEN 1 AND 40),
    status      text        NOT NULL DEFAULT 'enabled'
                            CHECK (status IN ('enabled', 'disabled', 'revoked', 'deleted')),
    expires_at  timestamptz,
    created_by  uuid        NOT NULL REFERENCES users,
    created_at  timestamptz NOT NULL DEFAULT now(),
    status_at   timestamptz NOT NULL DEFAULT now(),
    -- Every edit names the version it saw; a stale one is refused.
    row_version bigint      NOT NULL DEFAULT 1,
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, group_id) REFERENCES groups (account_id, id)
);
-- A revoked or deleted key's name is free again.
CREATE UNIQUE INDEX api_keys_name_unique ON api_keys (account_id, lower(name))
    WHERE status IN ('enabled', 'disabled');
CREATE INDEX api_keys_by_age ON api_keys (account_id, created_at DESC, id DESC) WHERE status <> 'deleted';

-- The text of a secret is nowhere in here. Its digest is HMAC(pepper, SHA-256(text)); the pepper is not here either.
CREATE TABLE key_secrets (
    id             uuid        PRIMARY KEY,
    account_id     uuid        NOT NULL,
    key_id         uuid        NOT NULL,
    public_id      text        NOT NULL UNIQUE,
    digest         bytea       NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    pepper_version smallint    NOT NULL,
    prefix         text        NOT NULL,
    last4          text        NOT NULL CHECK (length(last4) = 4),
    -- The form that asked for it, once: a repeated or reloaded form finds this row and makes nothing.
    form_id        uuid        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- NULL: the key's current secret. Set: accepted until then.
    ends_at        timestamptz,
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id),
    CONSTRAINT key_secrets_form_unique UNIQUE (account_id, form_id)
);
CREATE UNIQUE INDEX key_secrets_one_current ON key_secrets (key_id) WHERE ends_at IS NULL;
CREATE INDEX key_secrets_of_key ON key_secrets (account_id, key_id);

-- What a key has consumed since it was made. Moved only together with the ledger rows it counts.
CREATE TABLE key_stats (
    key_id              uuid        PRIMARY KEY,
    account_id          uuid        NOT NULL,
    requests            bigint      NOT NULL DEFAULT 0 CHECK (requests >= 0),
    input_tokens        bigint      NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    cached_input_tokens bigint      NOT NULL DEFAULT 0 CHECK (cached_input_tokens >= 0),
    output_tokens       bigint      NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
    cost_nano           bigint      NOT NULL DEFAULT 0 CHECK (cost_nano >= 0),
    last_used_at        timestamptz,
    last_address        inet,
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id)
) WITH (fillfactor = 70);

-- What the gateway offers, and its prices in nano-dollars per million tokens.
CREATE TABLE models (
    id                 text        PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 200),
    upstream_model     text        NOT NULL,
    input_price        bigint      NOT NULL CHECK (input_price >= 0),
    cached_input_price bigint      NOT NULL CHECK (cached_input_price >= 0),
    output_price       bigint      NOT NULL CHECK (output_price >= 0),
    enabled            boolean     NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now()
);
