// @ts-check
/**
 * Storage on the device (IndexedDB): images, their bytes, thumbnails of the server's images, what is to be deleted,
 * prompts, templates, jobs on their way and jobs that ended without an image. Small settings are in local storage.
 *
 * An image's facts and its thumbnail are one record, its bytes another, so that a history of a thousand images is
 * listed without reading them. Where the browser gives no database (a private window, a full disk), everything works in
 * memory, for as long as the page is open.
 */

import { Emitter } from "./dom.js";

const NAME = "z-image-studio";
/** Bump with every new store. */
const VERSION = 2;
const STORES = ["images", "blobs", "thumbs", "trash", "prompts", "templates", "jobs", "ended"];

let opened;

function database() {
  opened ??= new Promise((resolve) => {
    let request;
    try {
      request = indexedDB.open(NAME, VERSION);
    } catch {
      resolve(null);
      return;
    }
    request.onupgradeneeded = () => {
      const { result } = request;
      for (const name of STORES) {
        if (!result.objectStoreNames.contains(name)) result.createObjectStore(name, { keyPath: "id" });
      }
    };
    request.onsuccess = () => {
      const { result } = request;
      // Another tab with a newer version must be able to upgrade; what comes after is kept in memory.
      result.onversionchange = () => {
        result.close();
        opened = Promise.resolve(null);
      };
      resolve(result);
    };
    request.onerror = () => resolve(null);
    request.onblocked = () => resolve(null);
  });
  return opened;
}

/** Records that are kept where there is no database. */
const memory = new Map(STORES.map((name) => [name, new Map()]));

async function run(stores, mode, work) {
  const db = await database();
  if (!db) return null;
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(stores, mode);
    const request = work(...stores.map((name) => transaction.objectStore(name)));
    transaction.oncomplete = () => resolve(request?.result ?? null);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** All records of a store. */
export async function all(store) {
  const kept = (await database()) ? await run([store], "readonly", (records) => records.getAll()) : [];
  return [...kept, ...memory.get(store).values()];
}

/** The record of that id, or null. */
export async function get(store, id) {
  const held = memory.get(store).get(id);
  if (held || !(await database())) return held ?? null;
  return run([store], "readonly", (records) => records.get(id));
}

/** Keeps a record under its `id`. Where the disk is full, it is kept for as long as the page is open. */
export async function put(store, record) {
  if (await database()) {
    try {
      return await run([store], "readwrite", (records) => records.put(record));
    } catch {
      full.emit();
    }
  }
  memory.get(store).set(record.id, record);
  return null;
}

/** Emits when the browser refuses to keep something. */
export const full = new Emitter();

/** Forgets records. */
export async function remove(store, ...ids) {
  ids.forEach((id) => memory.get(store).delete(id));
  if (await database()) await run([store], "readwrite", (records) => void ids.forEach((id) => records.delete(id)));
}

/** Forgets images: their facts and their bytes. */
export async function removeImages(ids) {
  await remove("images", ...ids);
  await remove("blobs", ...ids, ...ids.map((id) => `${id}.before`));
}

/** An image's bytes, or null. */
export async function blob(id) {
  return (await get("blobs", id))?.blob ?? null;
}

/** A small setting. */
export function setting(name, fallback) {
  try {
    const text = localStorage.getItem(`z-image.${name}`);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

/** Keeps a small setting. */
export function keepSetting(name, value) {
  try {
    localStorage.setItem(`z-image.${name}`, JSON.stringify(value));
  } catch {
    // It lasts as long as the page.
  }
}

/** Asks the browser not to clear all this when the disk runs low. */
export function persist() {
  navigator.storage?.persist?.().catch(() => {});
}
