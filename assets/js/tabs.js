// @ts-check
/**
 * Tabs of one browser: what one of them does alone, and what it tells the others.
 */

import { Emitter } from "./dom.js";

const NAME = "z-image-studio";
const channel = typeof BroadcastChannel === "function" ? new BroadcastChannel(NAME) : null;

/**
 * Messages of the other tabs, by `what`: `job` (state of a task that another tab follows), `image` (kept, by `id`),
 * `gone` (deleted, by `ids`), `ended` (the list of jobs without an image has changed).
 */
export const heard = new Emitter();
channel?.addEventListener("message", ({ data }) => heard.emit(data));

/** Tells the other tabs. */
export function tell(message) {
  channel?.postMessage(message);
}

/**
 * Does `work` while no other tab does work of that name: at once, or when the other tab is done or has gone.
 *
 * Browsers have locks in secure contexts only. Over plain HTTP every tab works, which is safe where the work is
 * idempotent.
 * @param {string} name
 * @param {AbortSignal} signal ends the wait
 * @param {() => any} work
 * @returns {Promise<any>}
 */
export async function alone(name, signal, work) {
  if (!navigator.locks) return work();
  let isBegun = false;
  const begin = () => {
    isBegun = true;
    return work();
  };
  try {
    return await navigator.locks.request(`${NAME}.${name}`, { signal }, begin);
  } catch (error) {
    // A browser that keeps nothing for the page gives no locks either.
    if (isBegun || signal.aborted) throw error;
    return work();
  }
}
