//! What the ledger's writer says to the database: each statement takes a whole batch, as JSON.

use crate::storage::{Script, Sql};

/// What a batch begins with: the users and keys that it is about, and the end of the reservations
/// that it settles. Rows are locked in this order, each by id, by everybody.
pub(super) static BEGIN: Script = Script::new(&[LOCK_USERS, LOCK_KEYS, END_RESERVATIONS]);

/// What a batch comes to.
pub(super) static COMMIT: Script =
    Script::new(&[UPDATE_USERS, UPDATE_KEYS, ADD_RESERVATIONS, ADD_LEDGER_ROWS, ADD_LOST]);

const LOCK_USERS: Sql = Sql {
    sqlite: "SELECT id, status, balance, unlimited, used, requests FROM users
             WHERE id IN (SELECT value FROM json_each(?))",
    postgres: "SELECT id, status, balance, unlimited, used, requests FROM users
               WHERE id IN (SELECT v::bigint FROM json_array_elements_text($1::json) AS e(v))
               ORDER BY id FOR UPDATE",
};

const LOCK_KEYS: Sql = Sql {
    sqlite: "SELECT id, status, deleted, version, expires_at, balance, unlimited, used,
                    token_balance, unlimited_tokens, requests_per_minute, tokens_per_minute,
                    parallel_requests, open_requests, requests_earned_at, tokens_earned_at,
                    accessed_at
             FROM keys WHERE id IN (SELECT value FROM json_each(?))",
    postgres: "SELECT id, status, deleted, version, expires_at, balance, unlimited, used,
                      token_balance, unlimited_tokens, requests_per_minute, tokens_per_minute,
                      parallel_requests, open_requests, requests_earned_at, tokens_earned_at,
                      accessed_at
               FROM keys
               WHERE id IN (SELECT v::bigint FROM json_array_elements_text($1::json) AS e(v))
               ORDER BY id FOR UPDATE",
};

/// `[id, balance, used, requests]`
const UPDATE_USERS: Sql = Sql {
    sqlite: "UPDATE users SET balance = x.balance, used = x.used, requests = x.requests
             FROM (SELECT value ->> 0 AS id, value ->> 1 AS balance, value ->> 2 AS used,
                          value ->> 3 AS requests FROM json_each(?)) AS x
             WHERE users.id = x.id",
    postgres: "UPDATE users SET balance = x.balance, used = x.used, requests = x.requests
               FROM (SELECT (v ->> 0)::bigint AS id, (v ->> 1)::bigint AS balance,
                            (v ->> 2)::bigint AS used, (v ->> 3)::bigint AS requests
                     FROM json_array_elements($1::json) AS e(v)) AS x
               WHERE users.id = x.id",
};

/// `[id, balance, used, token_balance, open_requests, requests_earned_at, tokens_earned_at,
/// accessed_at]`
const UPDATE_KEYS: Sql = Sql {
    sqlite: "UPDATE keys SET balance = x.balance, used = x.used, token_balance = x.token_balance,
                    open_requests = x.open_requests, requests_earned_at = x.requests_earned_at,
                    tokens_earned_at = x.tokens_earned_at, accessed_at = x.accessed_at
             FROM (SELECT value ->> 0 AS id, value ->> 1 AS balance, value ->> 2 AS used,
                          value ->> 3 AS token_balance, value ->> 4 AS open_requests,
                          value ->> 5 AS requests_earned_at, value ->> 6 AS tokens_earned_at,
                          value ->> 7 AS accessed_at FROM json_each(?)) AS x
             WHERE keys.id = x.id",
    postgres: "UPDATE keys SET balance = x.balance, used = x.used,
                      token_balance = x.token_balance, open_requests = x.open_requests,
                      requests_earned_at = x.requests_earned_at,
                      tokens_earned_at = x.tokens_earned_at, accessed_at = x.accessed_at
               FROM (SELECT (v ->> 0)::bigint AS id, (v ->> 1)::bigint AS balance,
                            (v ->> 2)::bigint AS used, (v ->> 3)::bigint AS token_balance,
                            (v ->> 4)::bigint AS open_requests,
                            (v ->> 5)::bigint AS requests_earned_at,
                            (v ->> 6)::bigint AS tokens_earned_at,
                            (v ->> 7)::bigint AS accessed_at
                     FROM json_array_elements($1::json) AS e(v)) AS x
               WHERE keys.id = x.id",
};

/// `[request, node, at, user_id, key_id, money, tokens, price_input, price_cached_input,
/// price_output, model, route, stream]`
const ADD_RESERVATIONS: Sql = Sql {
    sqlite: "INSERT INTO reservations (request, node, at, user_id, key_id, money, tokens,
                    price_input, price_cached_input, price_output, model, route, stream,
                    prompt_tokens, cached_tokens, completion_tokens)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10,
                    value ->> 11, value ->> 12, 0, 0, 0 FROM json_each(?)",
    postgres: "INSERT INTO reservations (request, node, at, user_id, key_id, money, tokens,
                      price_input, price_cached_input, price_output, model, route, stream,
                      prompt_tokens, cached_tokens, completion_tokens)
               SELECT v ->> 0, v ->> 1, (v ->> 2)::bigint, (v ->> 3)::bigint, (v ->> 4)::bigint,
                      (v ->> 5)::bigint, (v ->> 6)::bigint, (v ->> 7)::bigint,
                      (v ->> 8)::bigint, (v ->> 9)::bigint, v ->> 10, v ->> 11,
                      (v ->> 12)::bigint, 0, 0, 0 FROM json_array_elements($1::json) AS e(v)",
};

/// `[request, …]`; gives back those that were there.
const END_RESERVATIONS: Sql = Sql {
    sqlite: "DELETE FROM reservations WHERE request IN (SELECT value FROM json_each(?))
             RETURNING request",
    postgres: "DELETE FROM reservations
               WHERE request IN (SELECT v FROM json_array_elements_text($1::json) AS e(v))
               RETURNING request",
};

/// `[at, kind, user_id, key_id, request, user_amount, key_amount, key_tokens, cost,
/// prompt_tokens, cached_tokens, completion_tokens, model, route, stream, status, finish,
/// duration_ms, first_token_ms]`
const ADD_LEDGER_ROWS: Sql = Sql {
    sqlite: "INSERT INTO ledger (at, kind, user_id, key_id, request, user_amount, key_amount,
                    key_tokens, cost, prompt_tokens, cached_tokens, completion_tokens, model,
                    route, stream, status, finish, duration_ms, first_token_ms, note)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10,
                    value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15,
                    value ->> 16, value ->> 17, value ->> 18, '' FROM json_each(?)",
    postgres: "INSERT INTO ledger (at, kind, user_id, key_id, request, user_amount, key_amount,
                      key_tokens, cost, prompt_tokens, cached_tokens, completion_tokens, model,
                      route, stream, status, finish, duration_ms, first_token_ms, note)
               SELECT (v ->> 0)::bigint, v ->> 1, (v ->> 2)::bigint, (v ->> 3)::bigint, v ->> 4,
                      (v ->> 5)::bigint, (v ->> 6)::bigint, (v ->> 7)::bigint,
                      (v ->> 8)::bigint, (v ->> 9)::bigint, (v ->> 10)::bigint,
                      (v ->> 11)::bigint, v ->> 12, v ->> 13, (v ->> 14)::bigint,
                      (v ->> 15)::bigint, v ->> 16, (v ->> 17)::bigint, (v ->> 18)::bigint, ''
               FROM json_array_elements($1::json) AS e(v)",
};

/// `[request, prompt_tokens, cached_tokens, completion_tokens]`
pub(super) const TELL_COUNTS: Sql = Sql {
    sqlite: "UPDATE reservations SET prompt_tokens = x.prompt, cached_tokens = x.cached,
                    completion_tokens = x.completion
             FROM (SELECT value ->> 0 AS request, value ->> 1 AS prompt, value ->> 2 AS cached,
                          value ->> 3 AS completion FROM json_each($1)) AS x
             WHERE reservations.request = x.request",
    postgres: "UPDATE reservations SET prompt_tokens = x.prompt, cached_tokens = x.cached,
                      completion_tokens = x.completion
               FROM (SELECT v ->> 0 AS request, (v ->> 1)::bigint AS prompt,
                            (v ->> 2)::bigint AS cached, (v ->> 3)::bigint AS completion
                     FROM json_array_elements($1::json) AS e(v)) AS x
               WHERE reservations.request = x.request",
};

pub(super) const RENEW_LEASE: &str = "INSERT INTO nodes (id, lease_until) VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until";

/// What a node has set aside, for it to settle after a restart.
pub(super) const RESERVATIONS_OF_NODE: &str = "SELECT request, at, user_id, key_id, money, tokens,
    price_input, price_cached_input, price_output, model, route, stream, prompt_tokens,
    cached_tokens, completion_tokens FROM reservations WHERE node = $1";

/// What nodes have set aside that have not told of themselves by `$1`.
pub(super) const RESERVATIONS_OF_THE_GONE: &str = "SELECT request, at, user_id, key_id, money,
    tokens, price_input, price_cached_input, price_output, model, route, stream,
    reservations.prompt_tokens, reservations.cached_tokens, reservations.completion_tokens
    FROM reservations JOIN nodes ON nodes.id = reservations.node WHERE nodes.lease_until < $1";

/// `[request, lost_at, at, user_id, key_id, money, tokens, price_input, price_cached_input,
/// price_output, model, route, stream, prompt_tokens, cached_tokens, completion_tokens]`
const ADD_LOST: Sql = Sql {
    sqlite: "INSERT INTO lost_requests (request, lost_at, at, user_id, key_id, money, tokens,
                    price_input, price_cached_input, price_output, model, route, stream,
                    prompt_tokens, cached_tokens, completion_tokens)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10,
                    value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15
             FROM json_each(?)",
    postgres: "INSERT INTO lost_requests (request, lost_at, at, user_id, key_id, money, tokens,
                      price_input, price_cached_input, price_output, model, route, stream,
                      prompt_tokens, cached_tokens, completion_tokens)
               SELECT v ->> 0, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint,
                      (v ->> 4)::bigint, (v ->> 5)::bigint, (v ->> 6)::bigint,
                      (v ->> 7)::bigint, (v ->> 8)::bigint, (v ->> 9)::bigint, v ->> 10,
                      v ->> 11, (v ->> 12)::bigint, (v ->> 13)::bigint, (v ->> 14)::bigint,
                      (v ->> 15)::bigint FROM json_array_elements($1::json) AS e(v)",
};

/// `[request, …]`; what those that were settled as lost were settled to. Nobody finds them again.
pub(super) const END_LOST: Sql = Sql {
    sqlite: "DELETE FROM lost_requests WHERE request IN (SELECT value FROM json_each($1))
             RETURNING request, prompt_tokens, cached_tokens, completion_tokens",
    postgres: "DELETE FROM lost_requests
               WHERE request IN (SELECT v FROM json_array_elements_text($1::json) AS e(v))
               RETURNING request, prompt_tokens, cached_tokens, completion_tokens",
};

/// `[request, …]`; those that were settled as lost, as reservations are read.
pub(super) const LOST: Sql = Sql {
    sqlite: "SELECT request, at, user_id, key_id, money, tokens, price_input, price_cached_input,
                    price_output, model, route, stream, prompt_tokens, cached_tokens,
                    completion_tokens
             FROM lost_requests WHERE request IN (SELECT value FROM json_each($1))",
    postgres: "SELECT request, at, user_id, key_id, money, tokens, price_input,
                      price_cached_input, price_output, model, route, stream, prompt_tokens,
                      cached_tokens, completion_tokens
               FROM lost_requests
               WHERE request IN (SELECT v FROM json_array_elements_text($1::json) AS e(v))",
};

/// Whoever has not come back by then does not.
pub(super) const FORGET_LOST: &str = "DELETE FROM lost_requests WHERE lost_at < $1";
