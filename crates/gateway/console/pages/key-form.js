// Every field of a key.

import { areaField, choicesField, form, numberField, section, selectField, switchField, textField } from "../components/form.js";
import { h } from "../dom.js";
import { currencyName, t, unitsPerOne } from "../i18n.js";
import { session } from "../session.js";

const DAY_SECONDS = 86_400;
const NEVER = -1;
const NAME_CHARACTERS_MAX = 50;
const MODALITIES = ["text", "image", "audio"];

/** What a key is before anybody limits it. */
const FRESH = {
  name: "",
  expired_time: NEVER,
  unlimited_quota: true,
  remain_quota: 0,
  unlimited_tokens: true,
  remain_tokens: 0,
  model_limits_enabled: false,
  model_limits: "",
  adapters: "",
  modalities: "",
  allow_ips: "",
  requests_per_minute: 0,
  tokens_per_minute: 0,
  parallel_requests: 0,
};

/** What stands in the folded part of the form. */
const FOLDED = ["model_limits_enabled", "adapters", "modalities", "allow_ips", "requests_per_minute", "tokens_per_minute", "parallel_requests"];

/** A form for a new key, or for `key` as it is. `onsubmit` gets the fields as the API has them. */
export function keyForm({ key = FRESH, submit, onsubmit, oncancel }) {
  const name = textField({ name: "name", label: t("keys.name"), hint: t("keys.name_hint"), value: key.name, isRequired: true, maxlength: NAME_CHARACTERS_MAX, autocomplete: "off", autofocus: true });
  const expiry = expiryFields(key);
  const spending = spendingFields(key);
  const access = accessFields(key);
  const rates = [
    limitField("requests_per_minute", t("keys.requests_per_minute"), key.requests_per_minute),
    limitField("tokens_per_minute", t("keys.tokens_per_minute"), key.tokens_per_minute),
    limitField("parallel_requests", t("keys.parallel_requests"), key.parallel_requests),
  ];
  const isLimited = FOLDED.some((field) => key[field] !== FRESH[field]);
  return form({
    submit,
    oncancel,
    label: submit,
    fields: [name, ...expiry, section(t("keys.spending"), spending), fold(t("keys.access_and_rates"), [section(t("keys.access"), access), section(t("keys.rates"), rates, t("keys.rates_hint"))], isLimited)],
    onsubmit: (values) => onsubmit(toDraft(values, key)),
  });
}

/** Sections that are folded away until they are wanted. */
function fold(title, sections, isOpen) {
  return { isSection: true, fields: sections, element: h("details.fold", { open: isOpen }, h("summary", title), sections.map(({ element }) => element)) };
}

function expiryFields(key) {
  const choices = [7, 30, 90, 365].map((days) => [String(days), t("keys.in_days", { count: days })]);
  const isDated = key.expired_time !== NEVER;
  const when = selectField({ name: "expiry", label: t("keys.expires"), value: isDated ? "date" : "never", options: [["never", t("keys.never")], ...choices, ["date", t("keys.on_date")]] });
  const at = textField({ name: "expiry_at", label: t("keys.expires_at"), type: "datetime-local", value: isDated ? localTime(key.expired_time) : "", isRequired: true, check: (text) => (Date.parse(text) > Date.now() || text === localTime(key.expired_time) ? null : t("keys.in_future")) });
  showWhile(at, when, (value) => value === "date");
  return [when, at];
}

function spendingFields(key) {
  const isFree = switchField({ name: "unlimited_quota", label: t("keys.unlimited_quota"), value: key.unlimited_quota });
  const quota = numberField({ name: "remain_quota", label: t("keys.remain_quota", { currency: currencyName() }), value: key.unlimited_quota ? null : key.remain_quota / unitsPerOne(), min: 0, max: 1e9, isRequired: true });
  const anyTokens = switchField({ name: "unlimited_tokens", label: t("keys.unlimited_tokens"), value: key.unlimited_tokens });
  const tokens = numberField({ name: "remain_tokens", label: t("keys.remain_tokens"), value: key.unlimited_tokens ? null : key.remain_tokens, min: 0, max: 1e15, step: 1, isRequired: true });
  showWhile(quota, isFree, (value) => !value);
  showWhile(tokens, anyTokens, (value) => !value);
  return [isFree, quota, anyTokens, tokens];
}

function accessFields(key) {
  const known = session.status.models;
  const allowed = key.model_limits.split(",").filter(Boolean);
  const names = [...new Set([...known, ...allowed])];
  const isOpen = switchField({ name: "all_models", label: t("keys.all_models"), value: !key.model_limits_enabled });
  const models = choicesField({ name: "models", label: t("keys.models"), value: allowed, options: names.map((name) => [name, name]), check: (chosen) => (chosen.length > 0 ? null : t("keys.choose_model")) });
  showWhile(models, isOpen, (value) => !value);
  const modalities = choicesField({
    name: "modalities",
    label: t("keys.modalities"),
    hint: t("keys.modalities_hint"),
    value: key.modalities === "" ? MODALITIES : key.modalities.split(","),
    options: MODALITIES.map((name) => [name, t(`modality.${name}`)]),
    check: (chosen) => (chosen.length > 0 ? null : t("keys.choose_modality")),
  });
  const adapters = textField({ name: "adapters", label: t("keys.adapters"), hint: t("keys.adapters_hint"), value: key.adapters, autocomplete: "off" });
  const networks = areaField({ name: "allow_ips", label: t("keys.allow_ips"), hint: t("keys.allow_ips_hint"), value: key.allow_ips, rows: 3, isCode: true, check: networkProblem });
  return [isOpen, models, modalities, adapters, networks];
}

function limitField(name, label, value) {
  return numberField({ name, label, value: value === 0 ? null : value, min: 0, max: 1e9, step: 1, placeholder: t("keys.no_limit") });
}

/** The first line that is no address or network; the server has the last word. */
function networkProblem(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const wrong = lines.find((line) => !/^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)(\/\d{1,3})?$/.test(line));
  return wrong === undefined ? null : t("keys.not_network", { line: wrong });
}

/** Shows `field` while `allows` the value of `other`. */
function showWhile(field, other, allows) {
  const update = () => {
    field.element.hidden = !allows(other.read());
  };
  other.input.addEventListener("change", update);
  update();
}

/** The field knows minutes only: an end that was not touched keeps its second. */
function expiryOf({ expiry, expiry_at: at }, key) {
  if (expiry === "never") return NEVER;
  if (expiry === "date") return at === localTime(key.expired_time) ? key.expired_time : Math.floor(Date.parse(at) / 1000);
  return Math.floor(Date.now() / 1000) + Number(expiry) * DAY_SECONDS;
}

function toDraft(values, key) {
  const areAll = values.modalities.length === MODALITIES.length;
  return {
    name: values.name.trim(),
    expired_time: expiryOf(values, key),
    unlimited_quota: values.unlimited_quota,
    remain_quota: values.unlimited_quota ? key.remain_quota : Math.round(values.remain_quota * unitsPerOne()),
    unlimited_tokens: values.unlimited_tokens,
    remain_tokens: values.unlimited_tokens ? key.remain_tokens : values.remain_tokens,
    model_limits_enabled: !values.all_models,
    model_limits: values.all_models ? "" : values.models.join(","),
    adapters: values.adapters.split(",").map((name) => name.trim()).filter(Boolean).join(","),
    modalities: areAll ? "" : values.modalities.join(","),
    allow_ips: values.allow_ips.split("\n").map((line) => line.trim()).filter(Boolean).join("\n"),
    requests_per_minute: values.requests_per_minute ?? 0,
    tokens_per_minute: values.tokens_per_minute ?? 0,
    parallel_requests: values.parallel_requests ?? 0,
  };
}

/** A Unix time as a field for local time has it. */
function localTime(seconds) {
  const at = new Date(seconds * 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
