//! Channels to other servers, for administrators.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;

use super::access::Administrator;
use super::answer::{Failure, PageQuery, Told, done};
use super::told::{Asked, Body, Id};
use crate::channel_store::{ChannelError, ChannelStore};
use crate::parts::Parts;
use crate::upstreams::{ChannelKey, ChannelKind, ChannelSettings};
use crate::wire::{ChannelDraft, ChannelView, HealthView, Page};

const ENABLED: i64 = 1;
const DISABLED: i64 = 2;

/// The longest that an answer may be waited for.
const SECONDS_MAX: i64 = 86_400;

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Storage(error) => error.into(),
            ChannelError::Invalid(error) => Self::invalid(error.to_string()),
            ChannelError::NotFound => Self::not_found(&error.to_string()),
            ChannelError::Duplicate | ChannelError::Configured => {
                Self::conflict(&error.to_string())
            }
        }
    }
}

/// `GET /api/channel/`
pub(super) async fn list(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
    Asked(page): Asked<PageQuery>,
) -> Told<Page<ChannelView>> {
    let store = store(&parts)?;
    let all = store.all().await?;
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let skipped = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let shown = usize::try_from(page.limit()).unwrap_or(usize::MAX);
    let items = all.iter().skip(skipped).take(shown).map(|one| view(store, one)).collect();
    done(page.of(items, total))
}

/// `POST /api/channel/`
pub(super) async fn create(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Body(draft): Body<ChannelDraft>,
) -> Told<ChannelView> {
    let store = store(&parts)?;
    let mut settings = ChannelSettings::openai(0, "", "", Vec::new());
    if draft.id.is_some() {
        return Err(Failure::invalid("id: a new channel gets its own"));
    }
    apply(draft, &mut settings)?;
    settings.id = store.add(&settings).await?;
    by.note(&parts, "channel.create", settings.id, said(&settings)).await?;
    done(view(store, &settings))
}

/// `PUT /api/channel/`
pub(super) async fn change(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Body(draft): Body<ChannelDraft>,
) -> Told<ChannelView> {
    let store = store(&parts)?;
    let id = draft.id.ok_or_else(|| Failure::invalid("id: which channel is to change?"))?;
    let mut settings = store.stored(id).await?;
    let had_key = settings.key.clone();
    let base = settings.base_url.clone();
    let has_new_key = draft.key.is_some();
    apply(draft, &mut settings)?;
    // Otherwise whoever may change an address could have the key sent to themselves.
    if settings.base_url != base && had_key != ChannelKey::default() && !has_new_key {
        return Err(Failure::invalid("key: give it again when base_url changes"));
    }
    store.change(&settings).await?;
    by.note(&parts, "channel.change", id, said(&settings)).await?;
    done(view(store, &settings))
}

/// `DELETE /api/channel/{id}`
pub(super) async fn delete(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Id(id): Id,
) -> Told<()> {
    let settings = store(&parts)?.delete(id).await?;
    by.note(&parts, "channel.delete", id, said(&settings)).await?;
    done(())
}

/// `POST /api/channel/{id}/test`
pub(super) async fn test(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
    Id(id): Id,
) -> Told<ChannelView> {
    let store = store(&parts)?;
    let all = store.all().await?;
    let settings = all.iter().find(|one| one.id == id).ok_or(ChannelError::NotFound)?;
    store.channels().test(id).await.ok_or(ChannelError::NotFound)?;
    done(view(store, settings))
}

fn store(parts: &Parts) -> Result<&ChannelStore, Failure> {
    let missing = || Failure::not_found("This gateway has no channels.");
    parts.channels.as_deref().ok_or_else(missing)
}

/// What the audit log says of it; never its key.
fn said(settings: &ChannelSettings) -> String {
    format!("{} {}", settings.name, settings.base_url)
}

fn apply(draft: ChannelDraft, settings: &mut ChannelSettings) -> Result<(), Failure> {
    let wrong = |field: &str, problem: &str| Failure::invalid(format!("{field}: {problem}"));
    if draft.kind.is_some_and(|kind| kind != ChannelKind::OpenAi.name()) {
        return Err(wrong("type", "only channels of the type 'openai' can be made or changed"));
    }
    let set = |field: &mut String, told: Option<String>| {
        if let Some(told) = told {
            told.trim().clone_into(field);
        }
    };
    set(&mut settings.name, draft.name);
    set(&mut settings.base_url, draft.base_url);
    if let Some(key) = draft.key {
        settings.key = ChannelKey::new(key.trim());
    }
    if let Some(models) = draft.models {
        let names = models.split(',').map(str::trim).filter(|name| !name.is_empty());
        settings.models = names.map(str::to_owned).collect();
    }
    if let Some(mapping) = draft.model_mapping {
        settings.model_mapping = mapping;
    }
    if let Some(weight) = draft.weight {
        let weight = u32::try_from(weight).ok().filter(|weight| *weight <= 1_000_000);
        settings.weight = weight.ok_or_else(|| wrong("weight", "0 to 1000000"))?;
    }
    if let Some(priority) = draft.priority {
        let priority = i32::try_from(priority);
        settings.priority = priority.map_err(|_| wrong("priority", "a number of 32 bits"))?;
    }
    if let Some(seconds) = draft.timeout_seconds {
        let seconds = u64::try_from(seconds).ok().filter(|_| (1..=SECONDS_MAX).contains(&seconds));
        let seconds = seconds.ok_or_else(|| wrong("timeout_seconds", "1 to 86400"))?;
        settings.patience.first_byte = Duration::from_secs(seconds);
    }
    match draft.status {
        None => {}
        Some(ENABLED) => settings.enabled = true,
        Some(DISABLED) => settings.enabled = false,
        Some(_) => return Err(wrong("status", "1 (enabled) or 2 (disabled)")),
    }
    Ok(())
}

fn view(store: &ChannelStore, settings: &ChannelSettings) -> ChannelView {
    let health = store.channels().health(settings.id);
    let number = |value: u128| i64::try_from(value).unwrap_or(i64::MAX);
    ChannelView {
        id: settings.id,
        name: settings.name.clone(),
        kind: settings.kind.name().to_owned(),
        base_url: settings.base_url.clone(),
        models: settings.models.join(","),
        model_mapping: settings.model_mapping.clone(),
        weight: settings.weight.into(),
        priority: settings.priority.into(),
        timeout_seconds: number(settings.patience.first_byte.as_secs().into()),
        status: if settings.enabled { ENABLED } else { DISABLED },
        health: health.map_or_else(HealthView::default, |health| HealthView {
            state: health.state.name().to_owned(),
            last_error: health.last_error,
            response_ms: number(health.response_time.as_millis()),
        }),
    }
}
