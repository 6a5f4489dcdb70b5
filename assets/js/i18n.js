// @ts-check
/**
 * Words in English and Chinese, and numbers, times and errors as people say them.
 *
 * The language is the browser's, until somebody switches; boot.js decides before the first paint.
 */

import { allOf } from "./dom.js";
import { keepSetting } from "./store.js";
import en from "./words.en.js";
import zh from "./words.zh.js";

const TABLES = { en, zh };

/** `en` or `zh`. */
export const language = () => (document.documentElement.lang.startsWith("zh") ? "zh" : "en");

export function setLanguage(next) {
  document.documentElement.lang = next === "zh" ? "zh-CN" : "en";
  keepSetting("language", next);
}

/** The words of that name, with `{places}` filled in. */
export function t(name, values = {}) {
  const words = TABLES[language()][name] ?? en[name] ?? name;
  return words.replace(/\{(\w+)\}/g, (place, key) => (key in values ? String(values[key]) : place));
}

/** Words that depend on a number: English has one form for one and another for more. */
export function n(name, count, values = {}) {
  const one = `${name}.one`;
  return t(count === 1 && TABLES[language()][one] ? one : name, { count, ...values });
}

/** Puts the words where index.html names them: as text, label, placeholder or title. */
export function translate(root = document) {
  document.title = t("title");
  for (const element of allOf("[data-t]", root)) element.textContent = t(element.dataset.t);
  for (const [data, attribute] of [
    ["tLabel", "aria-label"],
    ["tPlaceholder", "placeholder"],
    ["tTitle", "title"],
  ]) {
    const selector = data.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    for (const element of allOf(`[data-${selector}]`, root)) element.setAttribute(attribute, t(element.dataset[data]));
  }
}

const locale = () => (language() === "zh" ? "zh-CN" : "en");

/** A number of seconds: 4.2 s, 1:05. */
export function clock(seconds) {
  if (seconds < 10) return t("seconds", { seconds: seconds.toFixed(1) });
  if (seconds < 60) return t("seconds", { seconds: Math.round(seconds) });
  const [minutes, rest] = [Math.floor(seconds / 60), Math.floor(seconds % 60)];
  return `${minutes}:${String(rest).padStart(2, "0")}`;
}

/** A time ago in words, from seconds. */
export function ago(seconds) {
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" });
  /** @type {Array<[Intl.RelativeTimeFormatUnit, number]>} */
  const units = [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
  ];
  for (const [unit, length] of units) {
    if (seconds >= length) return format.format(-Math.floor(seconds / length), unit);
  }
  return format.format(-Math.floor(Math.max(0, seconds)), "second");
}

/** Formats of dates, by language: one is made in no less time than a hundred are written. */
const dates = {};

/** Today, yesterday, or a date. */
export function day(at) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (at >= midnight) return t("day.today");
  if (at >= midnight - 86_400_000) return t("day.yesterday");
  dates[locale()] ??= new Intl.DateTimeFormat(locale(), { dateStyle: "long" });
  return dates[locale()].format(at);
}

/** A date and a time. */
export const moment = (at) => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(at);

/** A time with seconds. */
export const timeOfDay = (at) =>
  new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(
    at,
  );

/** Codes of errors whose messages hold words of the Space or name a field, which a translation would lose. */
const QUOTED = new Set(["rejected_by_space", "image_generation_user_error", "space_error", "invalid_value"]);

/**
 * Reason of a failure, in one language: in English the server's own words, in others what the code says, with the words
 * of the Space as a quotation.
 */
export function failureText({ message, code, kind, retryAfter }) {
  const own = kind === "offline" || kind === "cut" ? t(`error.${kind}`) : code && TABLES[language()][`error.${code}`];
  const isHttp = kind === "http" || kind === "key";
  let words = own || message || t("error.unknown");
  if (language() === "en") words = isHttp && message ? message : words;
  else if (own && isHttp && message && QUOTED.has(code)) words = t("error.quoted", { words: own, message });
  else if (!own && isHttp && message) words = t("error.server", { message });
  return retryAfter ? `${words} ${t("error.retryAfter", { time: clock(retryAfter) })}` : words;
}

/** A Space's trouble: in English its `message`, else what the table says of its code, or the code as words. */
export const troubled = (code, message = "") =>
  (language() === "en" && message) || (TABLES[language()][`error.${code}`] ?? (message || code.replaceAll("_", " ")));
