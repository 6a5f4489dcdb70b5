// @ts-check
/**
 * Jobs that ended without an image: what failed, what was cancelled, and what is made but couldn't be fetched. They
 * stay on the device, with their prompts, until they are tried again or dismissed.
 */

import { Emitter } from "./dom.js";
import * as jobs from "./jobs.js";
import * as store from "./store.js";
import { heard, tell } from "./tabs.js";

/** Number of them that are kept. */
const MOST = 100;

/** Every change of the list. */
export const changed = new Emitter();

let records = [];

/** Reads what is kept on the device. */
export async function load() {
  records = (await store.all("ended")).sort((a, b) => b.ended - a.ended);
  changed.emit();
}

/** Those that no batch on the page shows, the newest first. */
export function left() {
  const shown = new Set(jobs.batches.flatMap((batch) => batch.jobs.map(({ id }) => id)));
  return records.filter(({ id }) => !shown.has(id));
}

/** Starts one again; an image that is made already is only fetched again. */
export function retry(record) {
  jobs.again(record);
}

/** Forgets some. Returns what brings them back. */
export function dismiss(gone) {
  const ids = gone.map(({ id }) => id);
  forget(ids);
  // A task whose image is made is followed again on return, unless nobody wants it any more.
  const orphans = gone.filter(({ made }) => made).map(({ id }) => id);
  store.remove("jobs", ...orphans);
  return () => gone.forEach(keep);
}

function forget(ids) {
  if (!records.some(({ id }) => ids.includes(id))) return;
  records = records.filter(({ id }) => !ids.includes(id));
  changed.emit();
  store.remove("ended", ...ids).then(() => tell({ what: "ended" }));
}

function keep(record) {
  const all = [record, ...records.filter(({ id }) => id !== record.id)].sort((a, b) => b.ended - a.ended);
  records = all.slice(0, MOST);
  const old = all.slice(MOST).map(({ id }) => id);
  changed.emit();
  Promise.all([store.put("ended", record), old.length > 0 && store.remove("ended", ...old)]).then(() =>
    tell({ what: "ended" }),
  );
}

jobs.changed.on((job) => {
  if (!job) return;
  // What another tab follows, that tab keeps.
  const isOurs = job.isHere || !job.taskId;
  if (job.state !== "failed" && job.state !== "cancelled") forget([job.id]);
  else if (isOurs || job.state === "cancelled") {
    const { id, index, recipe, begun, ended, state, error, made, taskId, batch } = job;
    const { way, partial, images, mask, at } = batch;
    keep({ id, index, recipe, begun, ended, state, error, made, taskId, way, partial, images, mask, at });
  }
});

heard.on(({ what }) => {
  if (what === "ended") load();
});
