// Words, numbers and dates in the reader's language.

import en from "./locales/en.js";
import ru from "./locales/ru.js";
import zh from "./locales/zh.js";
import { store, stored } from "./storage.js";

/** Languages and what they call themselves. */
export const LANGUAGES = { en: "English", ru: "Русский", zh: "中文" };

const DICTIONARIES = { en, ru, zh };

/** What `Intl` is asked for; plain `zh` and `en` follow the system's region. */
let language = chooseLanguage();
document.documentElement.lang = language;

export function currentLanguage() {
  return language;
}

/** Takes effect at the next drawing. */
export function setLanguage(chosen) {
  language = chosen;
  store("language", chosen);
  document.documentElement.lang = chosen;
}

function chooseLanguage() {
  const wishes = [stored("language"), ...navigator.languages];
  for (const wish of wishes) {
    const name = wish?.toLowerCase().split("-")[0];
    if (name in DICTIONARIES) return name;
  }
  return "en";
}

/**
 * The words for `key`. `{name}` is replaced by a value; a number is written as the language does.
 * An entry with several forms is chosen by `count`.
 */
export function t(key, values = {}) {
  let words = DICTIONARIES[language][key] ?? DICTIONARIES.en[key];
  if (words === undefined) throw new Error(`no words for '${key}'`);
  if (typeof words === "object") {
    words = words[new Intl.PluralRules(language).select(values.count)] ?? words.other;
  }
  return words.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : String(value);
  });
}

/** `12,345` */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/** `12K` */
export function compact(value) {
  const options = { notation: "compact", maximumFractionDigits: value < 10_000 ? 0 : 1 };
  return new Intl.NumberFormat(language, value < 10_000 ? { maximumFractionDigits: 0 } : options).format(value);
}

/** A share of 1 as `12%`. */
export function percent(share) {
  const digits = share > 0 && share < 0.1 ? 1 : 0;
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(share);
}

/** A Unix time in seconds: day and minute. */
export function dateTime(seconds) {
  return dateFormat({ dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);
}

/** A Unix time in seconds: day, with its year unless it is this one, and time to the second. */
export function exactTime(seconds) {
  const isThisYear = new Date(seconds * 1000).getFullYear() === new Date().getFullYear();
  const day = { day: "numeric", month: "numeric", year: isThisYear ? undefined : "numeric" };
  return dateFormat({ ...day, hour: "numeric", minute: "2-digit", second: "2-digit" }).format(seconds * 1000);
}

/** A Unix time in seconds: the day. */
export function date(seconds) {
  return dateFormat({ dateStyle: "medium" }).format(seconds * 1000);
}

/** `2026-11-25` as a short day. Days of the server are those of UTC. */
export function day(bucket, options = { day: "numeric", month: "short" }) {
  return dateFormat({ ...options, timeZone: "UTC" }).format(Date.parse(`${bucket}T00:00:00Z`));
}

function dateFormat(options) {
  return new Intl.DateTimeFormat(language, options);
}

const STEPS = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", 30],
  ["month", 12],
  ["year", Infinity],
];

/** A Unix time in seconds as `5 minutes ago`. */
export function ago(seconds) {
  let amount = seconds - Date.now() / 1000;
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [unit, size] of STEPS) {
    if (Math.abs(amount) < size) return format.format(Math.trunc(amount), unit);
    amount /= size;
  }
  return "";
}

/** Milliseconds as `820 ms` or `3.2 s`. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return unit(Math.round(milliseconds), "millisecond", 0);
  const seconds = milliseconds / 1000;
  if (seconds < 120) return unit(seconds, "second", seconds < 10 ? 2 : 1);
  return unit(seconds / 60, "minute", 1);
}

/** Bytes as `2.5 GB`. */
export function bytes(value) {
  const names = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = value < 1 ? 0 : Math.min(names.length - 1, Math.floor(Math.log10(value) / 3));
  return unit(value / 1000 ** step, names[step], step > 2 ? 2 : 0);
}

function unit(value, name, digits) {
  const options = { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, options).format(value);
}

/** Tokens a second. */
export function speed(perSecond) {
  return t("unit.tokens_per_second", { value: number(perSecond, perSecond < 100 ? 1 : 0) });
}

/** What money is called here; `setMoney` is called once the server has told. */
const money_ = { currency: "USD", unitsPerOne: 1_000_000 };

export function setMoney(currency, unitsPerOne) {
  money_.currency = currency || "USD";
  money_.unitsPerOne = unitsPerOne || 1_000_000;
}

export function currencyName() {
  return money_.currency;
}

/** How many units of the ledger are 1 of the currency. */
export function unitsPerOne() {
  return money_.unitsPerOne;
}

/** An amount of the ledger's units. Small ones keep the digits that tell them from nothing. */
export function money(units) {
  return moneyFormat(units, Math.abs(units) < money_.unitsPerOne ? 6 : 2);
}

/** An amount at a glance: cents, unless there would be none to see. */
export function roundMoney(units) {
  return moneyFormat(units, Math.abs(units) < money_.unitsPerOne / 100 ? 6 : 2);
}

function moneyFormat(units, digits) {
  const value = units / money_.unitsPerOne;
  const options = { minimumFractionDigits: 2, maximumFractionDigits: digits };
  if (/^[A-Z]{3}$/.test(money_.currency)) {
    const currency = { style: "currency", currency: money_.currency, currencyDisplay: "narrowSymbol" };
    return new Intl.NumberFormat(language, { ...options, ...currency }).format(value);
  }
  return `${new Intl.NumberFormat(language, options).format(value)} ${money_.currency}`;
}
