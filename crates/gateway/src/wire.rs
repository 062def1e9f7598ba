//! What the management API says and is told: the names that services of this kind share, so that
//! scripts written for them work. Money is in millionths of the currency, moments in seconds since
//! the epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::object::Object;

/// Every answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer<T> {
    /// Whether it was done.
    pub success: bool,
    /// Why not; empty on success.
    pub message: String,
    /// What there is to say; `null` on failure.
    pub data: Option<T>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Entries of all pages.
    pub total: i64,
    /// From 1.
    pub page: i64,
    /// Entries of a page at most.
    pub page_size: i64,
}

/// `GET /api/status`: what everybody may know.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Of the service.
    pub name: String,
    /// `off`, `invitation` or `open`.
    pub sign_up: String,
    /// Whether another service may sign people in.
    pub openid: Option<OpenidStatus>,
    /// What money is counted in (`USD`).
    pub currency: String,
    /// Units of money in one of the currency: a million.
    pub quota_per_unit: i64,
    /// Names of models that requests may give.
    pub models: Vec<String>,
    /// Whether there is no administrator yet.
    pub setup_needed: bool,
    /// Where the public API is, ending in `/v1`.
    pub base_url: String,
    /// The origin of that, where it is not the console's own: its pages ask there.
    pub api_origin: Option<String>,
}

/// Another service that signs people in.
#[derive(Clone, Debug, Serialize)]
pub struct OpenidStatus {
    /// Always true where this object is.
    pub enabled: bool,
    /// What the button says.
    pub name: String,
}

/// A user, as administrators see one, and as one sees oneself.
#[derive(Clone, Debug, Serialize)]
pub struct UserView {
    /// Names the user in addresses.
    pub id: i64,
    /// To sign in with.
    pub username: String,
    /// To be called by.
    pub display_name: String,
    /// 1: user, 10: administrator.
    pub role: i64,
    /// 1: may do things, 2: may not.
    pub status: i64,
    /// Money that is left.
    pub quota: i64,
    /// Whether money never runs out.
    pub unlimited_quota: bool,
    /// Money that was spent.
    pub used_quota: i64,
    /// Requests that were answered.
    pub request_count: i64,
    /// Since when.
    pub created_time: i64,
    /// For `X-CSRF-Token`; only about oneself, and only in a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csrf_token: Option<String>,
}

/// Another service's person that an account is tied to.
#[derive(Clone, Debug, Serialize)]
pub struct IdentityView {
    /// The service.
    pub issuer: String,
    /// The person's name there.
    pub subject: String,
    /// Since when.
    pub created_time: i64,
}

/// How one may sign in.
#[derive(Clone, Debug, Serialize)]
pub struct SignInView {
    /// With name and password.
    pub has_password: bool,
    /// By another service.
    pub identities: Vec<IdentityView>,
}

/// A key, without its secret.
#[derive(Clone, Debug, Serialize)]
pub struct TokenView {
    /// Names the key in addresses.
    pub id: i64,
    /// For people.
    pub name: String,
    /// Masked (`sk-abcd…wxyz`), but for the answer to its making and rotation.
    pub key: String,
    /// 1: enabled, 2: disabled, 3: expired, 4: exhausted.
    pub status: i64,
    /// When it was made.
    pub created_time: i64,
    /// When it was last used; 0: never.
    pub accessed_time: i64,
    /// When it ends; -1: never.
    pub expired_time: i64,
    /// Money that it may still spend.
    pub remain_quota: i64,
    /// Money that it has spent.
    pub used_quota: i64,
    /// Whether only the user's money bounds it.
    pub unlimited_quota: bool,
    /// Whether `model_limits` counts.
    pub model_limits_enabled: bool,
    /// Models it may use, between commas.
    pub model_limits: String,
    /// Networks it may be used from, one a line; empty: all.
    pub allow_ips: String,
    /// Adapters it may use, between commas; empty: all.
    pub adapters: String,
    /// What it may send: `text`, `image`, `audio`, between commas; empty: all.
    pub modalities: String,
    /// 0: no limit.
    pub requests_per_minute: i64,
    /// 0: no limit.
    pub tokens_per_minute: i64,
    /// At a time. 0: no limit.
    pub parallel_requests: i64,
    /// Tokens that it may still use.
    pub remain_tokens: i64,
    /// Whether `remain_tokens` does not count.
    pub unlimited_tokens: bool,
}

/// What a key is made of or changed to. On a change, what is absent stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenDraft {
    /// Which to change.
    pub id: Option<i64>,
    /// 1: enabled, 2: disabled.
    pub status: Option<i64>,
    /// As [`TokenView::name`].
    pub name: Option<String>,
    /// As [`TokenView::expired_time`].
    pub expired_time: Option<i64>,
    /// As [`TokenView::remain_quota`].
    pub remain_quota: Option<i64>,
    /// As [`TokenView::unlimited_quota`].
    pub unlimited_quota: Option<bool>,
    /// As [`TokenView::model_limits_enabled`].
    pub model_limits_enabled: Option<bool>,
    /// As [`TokenView::model_limits`].
    pub model_limits: Option<String>,
    /// As [`TokenView::allow_ips`].
    pub allow_ips: Option<String>,
    /// As [`TokenView::adapters`].
    pub adapters: Option<String>,
    /// As [`TokenView::modalities`].
    pub modalities: Option<String>,
    /// As [`TokenView::requests_per_minute`].
    pub requests_per_minute: Option<i64>,
    /// As [`TokenView::tokens_per_minute`].
    pub tokens_per_minute: Option<i64>,
    /// As [`TokenView::parallel_requests`].
    pub parallel_requests: Option<i64>,
    /// As [`TokenView::remain_tokens`].
    pub remain_tokens: Option<i64>,
    /// As [`TokenView::unlimited_tokens`].
    pub unlimited_tokens: Option<bool>,
}

/// A request that was answered.
#[derive(Clone, Debug, Serialize)]
pub struct LogView {
    /// In the order in which requests ended.
    pub id: i64,
    /// When it ended.
    pub created_at: i64,
    /// Always `usage`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whose it was.
    pub user_id: i64,
    /// The user's name.
    pub username: String,
    /// The key.
    pub token_id: i64,
    /// The key's name.
    pub token_name: String,
    /// The model.
    pub model_name: String,
    /// `/v1/chat/completions`, …
    pub route: String,
    /// Tokens of the prompt, those from a cache included.
    pub prompt_tokens: i64,
    /// Tokens of the prompt that a cache had.
    pub cached_tokens: i64,
    /// Tokens that were generated.
    pub completion_tokens: i64,
    /// What it cost.
    pub quota: i64,
    /// From the admission to the end of the answer.
    pub duration_ms: i64,
    /// From the admission to the first bytes of the answer.
    pub first_token_ms: i64,
    /// Whether it was streamed.
    pub is_stream: bool,
    /// Of the answer; 0: there was none.
    pub status: i64,
    /// `stop`: answered to its end, `aborted`: the client went away, `error`: it failed,
    /// `lost`: the server ended in the middle.
    pub finish: String,
    /// In the answer's header `x-request-id`.
    pub request_id: String,
}

/// Requests of a day, of a key or of a model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UsageBucket {
    /// `2026-11-25`, or the name of the key or model.
    pub bucket: String,
    /// How many.
    pub requests: i64,
    /// Tokens of their prompts.
    pub prompt_tokens: i64,
    /// Of these, tokens that a cache had.
    pub cached_tokens: i64,
    /// Tokens that were generated.
    pub completion_tokens: i64,
    /// What they cost.
    pub quota: i64,
    /// How many failed.
    pub errors: i64,
}

/// An invitation to sign up.
#[derive(Clone, Debug, Serialize)]
pub struct InvitationView {
    /// Names it.
    pub id: i64,
    /// The word to sign up with; only in the answer to its making.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it was made.
    pub created_time: i64,
    /// When it ends.
    pub expired_time: i64,
    /// Who used it; empty: nobody yet.
    pub used_by: String,
}

/// Another server of the public API.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelView {
    /// Names it.
    pub id: i64,
    /// For people.
    pub name: String,
    /// `local` or `openai`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is, ending in `/v1`.
    pub base_url: String,
    /// Its models, between commas.
    pub models: String,
    /// What it calls a model that requests call otherwise.
    pub model_mapping: BTreeMap<String, String>,
    /// Its share among channels of the same priority.
    pub weight: i64,
    /// Higher ones are asked first.
    pub priority: i64,
    /// Patience for an answer to begin, in seconds.
    pub timeout_seconds: i64,
    /// 1: enabled, 2: disabled.
    pub status: i64,
    /// How it is.
    pub health: HealthView,
}

/// How a channel is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HealthView {
    /// `up`, `down` or `open` (given up for a while).
    pub state: String,
    /// What went wrong last; empty: nothing.
    pub last_error: String,
    /// How long the last answer took.
    pub response_ms: i64,
}

/// What a channel is made of or changed to. On a change, what is absent stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelDraft {
    /// Which to change.
    pub id: Option<i64>,
    /// As [`ChannelView::name`].
    pub name: Option<String>,
    /// As [`ChannelView::kind`].
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// As [`ChannelView::base_url`].
    pub base_url: Option<String>,
    /// What it is called with; never told again.
    pub key: Option<String>,
    /// As [`ChannelView::models`].
    pub models: Option<String>,
    /// As [`ChannelView::model_mapping`].
    pub model_mapping: Option<BTreeMap<String, String>>,
    /// As [`ChannelView::weight`].
    pub weight: Option<i64>,
    /// As [`ChannelView::priority`].
    pub priority: Option<i64>,
    /// As [`ChannelView::timeout_seconds`].
    pub timeout_seconds: Option<i64>,
    /// As [`ChannelView::status`].
    pub status: Option<i64>,
}

/// What tokens of a model cost, in units per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceView {
    /// Of the prompt.
    pub input: i64,
    /// Of the prompt, from a cache.
    pub cached_input: i64,
    /// Generated.
    pub output: i64,
}

/// `GET /api/option/`: what an administrator may set while the server runs.
#[derive(Clone, Debug, Serialize)]
pub struct OptionsView {
    /// `off`, `invitation` or `open`.
    pub sign_up: String,
    /// By model; `*` is for all others.
    pub prices: BTreeMap<String, PriceView>,
    /// Money that a new user gets.
    pub new_user_quota: i64,
}

/// `PUT /api/option/`. What is absent stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptionsDraft {
    /// As [`OptionsView::sign_up`].
    pub sign_up: Option<String>,
    /// As [`OptionsView::prices`]; all of them.
    #[serde(deserialize_with = "read_prices")]
    pub prices: Option<BTreeMap<String, PriceView>>,
    /// As [`OptionsView::new_user_quota`].
    pub new_user_quota: Option<i64>,
}

fn read_prices<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, PriceView>>, D::Error> {
    let read = Option::<BTreeMap<String, Object<PriceView>>>::deserialize(deserializer)?;
    Ok(read.map(|prices| prices.into_iter().map(|(model, price)| (model, price.0)).collect()))
}

/// Something that somebody did to accounts, keys or options.
#[derive(Clone, Debug, Serialize)]
pub struct AuditView {
    /// In order.
    pub id: i64,
    /// When.
    pub created_at: i64,
    /// Who; empty: nobody who is signed in.
    pub username: String,
    /// What (`token.create`).
    pub action: String,
    /// To what.
    pub subject: String,
    /// How; never a secret.
    pub detail: String,
    /// From where.
    pub ip: String,
}
