-- What was set aside for requests that another node settled as lost, by what theirs had told last:
-- their own node may come back and know better. A row goes when it did.

CREATE TABLE lost_requests (
    request TEXT PRIMARY KEY,
    -- When it was settled.
    lost_at BIGINT NOT NULL,
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
    -- What it was settled to.
    prompt_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL
);
