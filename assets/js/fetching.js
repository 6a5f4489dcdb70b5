// @ts-check
/**
 * Bringing finished images to the device. What a Space has made is never made again because its file didn't come at
 * the first try.
 */

import { call, decoded, image as fetchImage } from "./api.js";
import { newId } from "./dom.js";
import * as store from "./store.js";

/** Pauses between tries, in milliseconds. A server that can't be reached is tried for as long as the page is open. */
const PAUSES = [500, 1000, 2000, 4000];
/** Pause while no server can be reached. */
const OFFLINE = 1500;
/** Statuses of a link that leads nowhere, or not any more. */
const DEAD_LINK = new Set([403, 404, 410]);

/** Keeps a finished image under the id that the job names. Only when that is done has the job succeeded. */
export const made = { keep: async (_job, _blob, _facts) => {} };

/** The image of an event: itself, or behind a link. */
export const payload = async (event, signal) =>
  event.b64_json
    ? new Blob([decoded(event.b64_json)], { type: `image/${event.output_format ?? "png"}` })
    : fetchImage(event.url, signal);

/** Brings a job's finished image here, as `facts` describe it. */
export async function keep(job, facts) {
  job.made = facts;
  job.to("fetching", { progress: { ...job.progress, fraction: 1 } });
  // A task is one image, whichever tab brings it.
  job.imageId = job.taskId ?? newId();
  if (!(await store.get("images", job.imageId))) {
    const blob = await bring(job, facts);
    if (job.isOver) return;
    await made.keep(job, blob, { ...facts, space: facts.space ?? job.progress.space });
  }
  job.made = null;
  await store.remove("jobs", job.id);
  job.to("succeeded");
}

/** The image's bytes: tried again where that may help, with a fresh link where the old one is dead. */
async function bring(job, facts) {
  const { signal } = job.stop;
  let isFresh = false;
  for (let tries = 0; ; ) {
    try {
      return await payload(facts, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (error.kind === "offline") {
        await pause(OFFLINE, signal);
      } else if (DEAD_LINK.has(error.status) && job.taskId && !isFresh) {
        isFresh = true;
        facts.url = (await linkOf(job, signal)) ?? facts.url;
      } else if ((error.status >= 500 || error.status === 429 || !error.status) && tries < PAUSES.length) {
        await pause(PAUSES[tries++], signal);
      } else {
        throw error;
      }
      if (signal.aborted) throw error;
    }
  }
}

/** A fresh link to a task's image. */
async function linkOf({ taskId }, signal) {
  try {
    const { images, result } = await call("GET", `/v1/tasks/${taskId}`, { signal, background: true });
    return images?.[0]?.url ?? result?.data?.[0]?.url ?? null;
  } catch {
    return null;
  }
}

/** Waits so many milliseconds, or until the job is cancelled. */
export const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });
