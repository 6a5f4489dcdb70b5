// @ts-check
/**
 * Calls of the API: the key, errors as people need them, and a record of each call for the log panel.
 *
 * The key lives in this browser's local storage and in the `Authorization` header, nowhere else: no element, no
 * record and no snippet ever holds it.
 */

import { Emitter } from "./dom.js";

const KEY = "z-image.api-key";

/** The API key on this device. */
export const key = {
  get value() {
    return localStorage.getItem(KEY) ?? "";
  },
  set value(text) {
    localStorage.setItem(KEY, text.trim());
  },
  forget() {
    localStorage.removeItem(KEY);
  },
};

/** Failure of a call. `kind` is `offline` where no server answered, `key` where the key is at fault, else `http`. */
export class ApiError extends Error {
  name = "ApiError";

  constructor(message, { kind = "http", status = 0, code = null, type = null, param = null, retryAfter = null } = {}) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.code = code;
    this.type = type;
    this.param = param;
    this.retryAfter = retryAfter;
  }
}

/** Every call, as it begins and whenever it changes: see {@link Record}. */
export const calls = new Emitter();
/**
 * Told after each call whether the server was there and took the key: `ok`, `offline`, `no-key`, `wrong-key` or
 * `unconfigured`.
 */
export const reached = new Emitter();

/**
 * @typedef {object} Record What is kept of a call, without its key.
 * @property {number} id
 * @property {number} at milliseconds since the epoch
 * @property {string} method
 * @property {string} path
 * @property {object|null} json the body, where it is JSON
 * @property {Array<[string, string]>|null} form a form's fields; a file is `@name`
 * @property {object} headers those that say something, without the key
 * @property {boolean} background whether nobody asked for it by hand
 * @property {number} [status]
 * @property {number} [ms]
 * @property {string} [requestId]
 * @property {string} [error]
 * @property {Array<{at: number, name: string, text: string}>} events
 */

let lastId = 0;

/**
 * @param {string} name
 * @param {string} value
 * @returns {[string, string]}
 */
const pair = (name, value) => [name, value];

/**
 * Calls the API and returns the response, whose body is still to be read.
 * @param {string} method
 * @param {string} path from `/` on
 * @param {{json?: object, form?: FormData, headers?: object, signal?: AbortSignal, background?: boolean, withKey?:
 *   string}} [options]
 * @returns {Promise<{response: Response, record: Record}>}
 * @throws {ApiError}
 */
export async function send(method, path, { json, form, headers = {}, signal, background = false, withKey } = {}) {
  /** @type {Record} */
  const record = {
    id: ++lastId,
    at: Date.now(),
    method,
    path,
    json: json ?? null,
    form: form
      ? Array.from(form, ([name, value]) => pair(name, typeof value === "string" ? value : `@${value.name}`))
      : null,
    headers,
    background,
    events: [],
  };
  calls.emit(record);
  const begun = performance.now();
  const ended = (facts) => {
    Object.assign(record, facts, { ms: performance.now() - begun });
    calls.emit(record);
  };
  const sent = { ...headers };
  const secret = withKey ?? key.value;
  if (secret) sent.Authorization = `Bearer ${secret}`;
  if (json) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: sent,
      body: json ? JSON.stringify(json) : form,
      signal,
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) {
      ended({ error: "cancelled" });
      throw error;
    }
    ended({ error: "offline" });
    if (withKey === undefined) reached.emit("offline");
    throw new ApiError("offline", { kind: "offline" });
  }
  ended({ status: response.status, requestId: response.headers.get("x-request-id") ?? undefined });
  if (response.ok) {
    if (withKey === undefined) reached.emit("ok");
    return { response, record };
  }
  const error = await failure(response);
  ended({ error: error.message });
  if (withKey === undefined)
    reached.emit(
      error.kind !== "key"
        ? "ok"
        : !secret
          ? "no-key"
          : error.code === "invalid_api_key"
            ? "wrong-key"
            : "unconfigured",
    );
  throw error;
}

/** Calls the API and reads the JSON that it answers. */
export async function call(method, path, options) {
  const { response } = await send(method, path, options);
  return response.json();
}

/** The error in an answer. */
async function failure(response) {
  const { status } = response;
  let said = {};
  try {
    said = (await response.json()).error ?? {};
  } catch {
    // Something in between has answered.
  }
  return new ApiError(said.message ?? `HTTP ${status}`, {
    kind: status === 401 ? "key" : "http",
    status,
    code: said.code ?? null,
    type: said.type ?? null,
    param: said.param ?? null,
    retryAfter: Number(response.headers.get("retry-after")) || null,
  });
}

/** Notes an event of a streaming call. */
export function note(record, name, data) {
  record.events.push({ at: Date.now() - record.at, name, text: shortened(data) });
  if (record.events.length > 200) record.events.splice(0, 1);
  calls.emit(record);
}

/** JSON with long texts (images) cut. */
export function shortened(value) {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === "string" && inner.length > 600 ? `${inner.slice(0, 40)}… (${inner.length})` : inner,
  );
}

/**
 * The bytes behind an image link, or a data URL.
 *
 * A link may name the server by another address than this page's (the variable `public_url`). It is one server: its own
 * address is asked, so that the page's policy can forbid all others.
 */
export async function image(url, signal) {
  const data = /^data:([^;,]+);base64,(.*)$/s.exec(url);
  if (data) return new Blob([decoded(data[2])], { type: data[1] });
  const { response } = await send("GET", here(url), { signal, background: true });
  return response.blob();
}

/** The same path at this page's own origin. */
export function here(url) {
  const { pathname, search } = new URL(url, location.origin);
  return pathname + search;
}

/** Bytes of a base64 text. */
export function decoded(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
