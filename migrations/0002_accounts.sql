-- Accounts, who belongs to them, and their groups.

CREATE TABLE users (
    id         uuid        PRIMARY KEY,
    email      text        NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) <= 254),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE accounts (
    id           uuid        PRIMARY KEY,
    slug         text        NOT NULL CONSTRAINT accounts_slug_unique UNIQUE
                             CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- 'none' has no billing method: the gateway refuses its requests.
    billing      text        NOT NULL DEFAULT 'none' CHECK (billing IN ('none', 'invoiced')),
    suspended_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE members (
    account_id uuid        NOT NULL REFERENCES accounts,
    user_id    uuid        NOT NULL REFERENCES users,
    role       text        NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, user_id)
);
CREATE INDEX members_of_user ON members (user_id);

CREATE TABLE groups (
    id          uuid        PRIMARY KEY,
    account_id  uuid        NOT NULL REFERENCES accounts,
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (account_id, id)
);
CREATE UNIQUE INDEX groups_name_unique ON groups (account_id, lower(name)) WHERE archived_at IS NULL;
