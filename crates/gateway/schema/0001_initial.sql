-- One text for both databases; SERIAL_KEY is the only word that differs. Moments are milliseconds
-- since the epoch, money millionths of the currency, yes and no 1 and 0; there are no nulls.

CREATE TABLE users (
    id SERIAL_KEY,
    username TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    password TEXT NOT NULL,
    role BIGINT NOT NULL,
    status BIGINT NOT NULL,
    -- The sum of the user's money in the ledger.
    balance BIGINT NOT NULL,
    unlimited BIGINT NOT NULL,
    used BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- People that another service has signed in.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE sessions (
    hash TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_id);

CREATE TABLE personal_tokens (
    user_id BIGINT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE invitations (
    id SERIAL_KEY,
    hash TEXT NOT NULL UNIQUE,
    created_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_by BIGINT NOT NULL
);

CREATE TABLE keys (
    id SERIAL_KEY,
    -- The first part of the key, by which it is found.
    public_id TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,
    hint TEXT NOT NULL,
    user_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- `key`, or `playground`, which no one can spell.
    kind TEXT NOT NULL,
    status BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    -- Counts the changes of what the key may do.
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    accessed_at BIGINT NOT NULL,
    -- -1: never.
    expires_at BIGINT NOT NULL,
    -- The sum of the key's money in the ledger, and of its tokens.
    balance BIGINT NOT NULL,
    unlimited BIGINT NOT NULL,
    used BIGINT NOT NULL,
    token_balance BIGINT NOT NULL,
    unlimited_tokens BIGINT NOT NULL,
    model_limits_enabled BIGINT NOT NULL,
    model_limits TEXT NOT NULL,
    allow_ips TEXT NOT NULL,
    adapters TEXT NOT NULL,
    modalities TEXT NOT NULL,
    requests_per_minute BIGINT NOT NULL,
    tokens_per_minute BIGINT NOT NULL,
    parallel_requests BIGINT NOT NULL,
    -- Reservations that are open.
    open_requests BIGINT NOT NULL,
    -- When all of what was used is earned back, in microseconds.
    requests_earned_at BIGINT NOT NULL,
    tokens_earned_at BIGINT NOT NULL
);
CREATE INDEX keys_of_user ON keys (user_id);

-- Rows are added, never changed. Amounts are what they add to the balances.
CREATE TABLE ledger (
    id SERIAL_KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    user_id BIGINT NOT NULL,
    -- 0: none.
    key_id BIGINT NOT NULL,
    request TEXT NOT NULL,
    user_amount BIGINT NOT NULL,
    key_amount BIGINT NOT NULL,
    key_tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    model TEXT NOT NULL,
    route TEXT NOT NULL,
    stream BIGINT NOT NULL,
    status BIGINT NOT NULL,
    finish TEXT NOT NULL,
    duration_ms BIGINT NOT NULL,
    first_token_ms BIGINT NOT NULL,
    note TEXT NOT NULL
);
CREATE INDEX ledger_of_user ON ledger (user_id, at) WHERE kind = 'settle';
CREATE INDEX ledger_by_time ON ledger (at) WHERE kind = 'settle';

-- What is set aside for requests that run.
CREATE TABLE reservations (
    request TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    at BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    key_id BIGINT NOT NULL,
    money BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    price_input BIGINT NOT NULL,
    price_cached_input BIGINT NOT NULL,
    price_output BIGINT NOT NULL,
    model TEXT NOT NULL,
    route TEXT NOT NULL,
    stream BIGINT NOT NULL,
    -- What they took when their node told last.
    prompt_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL
);
CREATE INDEX reservations_of_node ON reservations (node);

-- A node that has not told of itself by its moment is taken for gone.
CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    lease_until BIGINT NOT NULL
);

CREATE TABLE channels (
    id SERIAL_KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    base_url TEXT NOT NULL,
    secret TEXT NOT NULL,
    models TEXT NOT NULL,
    model_mapping TEXT NOT NULL,
    weight BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    timeout_seconds BIGINT NOT NULL,
    status BIGINT NOT NULL
);

CREATE TABLE options (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE audit (
    id SERIAL_KEY,
    at BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    username TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    ip TEXT NOT NULL
);
