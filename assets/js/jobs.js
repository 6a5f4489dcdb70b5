// @ts-check
/**
 * Images on their way: one job each.
 *
 * A batch of n images goes to the server as n requests of one image, with seed, seed + 1, …, rather than as one request
 * of n. So each can be cancelled and tried again by itself; the server spaces jobs of one Space out by itself,
 * whichever request they come from. A job travels in one of two ways:
 *
 * - As a task (`Prefer: respond-async`): it goes on at the server whatever becomes of the page, and is found again on
 *   return. This is the way wherever the server has tasks, and for everything but the next case.
 * - As a stream: it lives as long as the page, and shows the image while it is made. Tasks have no such previews, so
 *   models that have them go this way, unless "Keep going in the background" is switched on.
 *
 * A browser opens six connections to a server over HTTP/1.1. Streams take at most four of them; of tasks, three are
 * followed by their events, and the rest by one list, asked for now and then. So there is always one left for
 * everything else.
 */

import { call, note, send } from "./api.js";
import { Emitter, newId } from "./dom.js";
import { keep, pause, payload } from "./fetching.js";
import { request, turns } from "./requests.js";
import { events } from "./sse.js";
import * as store from "./store.js";
import { alone } from "./tabs.js";

/** The most tasks whose events are followed at once. */
const FOLLOWED = 3;
/** Pause between two questions about the others, in milliseconds. */
const POLL = 1500;
/** For so long, in seconds, and so often a job waits to be let in. */
const PATIENCE = 90;
const TRIES = 20;
/** The most images in the making that are asked for. */
const PARTIALS = 3;

/** Every change of a job. */
export const changed = new Emitter();
/** The batches that aren't put away, the newest first. */
export const batches = [];

/** Offers of the server beside OpenAI's API; `null` until it has been asked. */
export const server = { tasks: null };

/** One image on its way. */
export class Job {
  constructor(batch, index, recipe) {
    Object.assign(this, { id: newId(), batch, index, recipe, way: batch.way });
    this.reset();
  }

  reset() {
    /**
     * `held` (in this page), `waiting` (at the server), `queued` and `running` (at a Space), `fetching`, `succeeded`,
     * `failed`, `cancelled`.
     */
    this.state = "held";
    this.begun = Date.now();
    this.ended = null;
    this.progress = {};
    this.partial = null;
    this.error = null;
    this.imageId = null;
    this.taskId = null;
    /** What the server says of the finished image, until it is here. */
    this.made = null;
    /** True in the tab that works for it. */
    this.isHere = false;
    /** Key under which the server answers the request once, however often it is sent. */
    this.key = newId();
    this.isKept = false;
    this.stop = new AbortController();
    /** Resolved when it is over. */
    this.settled = new Promise((resolve) => (this.settle = () => resolve(undefined)));
    /** Times at which each state began, for the timeline. */
    this.marks = [{ state: "held", at: this.begun }];
  }

  get isOver() {
    return this.state === "succeeded" || this.state === "failed" || this.state === "cancelled";
  }

  /** Goes over to a state, and emits it. */
  to(state, facts = {}) {
    if (this.isOver) return;
    if (state !== this.state) {
      this.marks.push({ state, at: Date.now() });
      this.state = state;
    }
    Object.assign(this, facts);
    if (this.isOver) {
      this.ended = Date.now();
      this.dropPartial();
      this.settle();
    }
    changed.emit(this);
  }

  /** Takes the image's state at the server. */
  update({ state, queue_position, queue_size, eta_seconds, step, steps, fraction, space }) {
    const moved = space !== undefined && this.progress.space !== undefined && space !== this.progress.space;
    const before = state === this.state && !moved ? this.progress : { space: this.progress.space };
    const said = { queue_position, queue_size, eta_seconds, step, steps, fraction, space };
    const news = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined && value !== null));
    if (news.eta_seconds !== undefined) news.etaAt = Date.now();
    this.progress = { ...before, ...news };
    this.to(state);
  }

  show(blob) {
    this.dropPartial();
    this.partial = URL.createObjectURL(blob);
    changed.emit(this);
  }

  dropPartial() {
    if (this.partial) URL.revokeObjectURL(this.partial);
    this.partial = null;
  }
}

/**
 * Starts `count` images of a recipe.
 * @param {import("./requests.js").Recipe} recipe
 * @param {number} count
 * @param {{way: "task"|"stream", partial: boolean, images?: Blob[], mask?: Blob|null, after?: number}} how `after` is
 *   the time before which no request is sent
 */
export function start(recipe, count, { way, partial, images = [], mask = null, after = 0 }) {
  const batch = { id: newId(), at: Date.now(), recipe, way, partial, images, mask, after, jobs: [] };
  for (let index = 0; index < count; index++) {
    const seed = recipe.seed === undefined ? {} : { seed: (recipe.seed + index) % 2 ** 31 };
    batch.jobs.push(new Job(batch, index, { ...recipe, ...seed }));
  }
  batches.unshift(batch);
  batch.jobs.forEach(launch);
  changed.emit(null);
  return batch;
}

/** Starts a job again that has failed or was cancelled. An image that is made already is only fetched again. */
export function retry(job) {
  const { made, taskId } = job;
  job.reset();
  if (made) fetchAgain(job, made, taskId);
  else launch(job);
  changed.emit(job);
}

/** Fetches an image again that is made. */
function fetchAgain(job, facts, taskId) {
  Object.assign(job, { taskId, isHere: true });
  keep(job, facts).catch((error) => failed(job, error));
}

/** Starts a job again that an earlier page has left without an image. */
export function again(record) {
  const { id, index, recipe, at, way, partial, images, mask, made, taskId } = record;
  const batch = { id: newId(), at, recipe, way, partial, images, mask, after: 0, jobs: [] };
  const job = Object.assign(new Job(batch, index, recipe), { id, made, taskId });
  batch.jobs.push(job);
  batches.unshift(batch);
  changed.emit(null);
  retry(job);
}

/** Cancels a job, at the server too. */
export function cancel(job) {
  if (job.isOver) return;
  job.stop.abort();
  if (job.taskId) {
    call("DELETE", `/v1/tasks/${job.taskId}`).catch(() => {});
    store.remove("jobs", job.id);
  }
  job.to("cancelled");
}

/** Puts a batch away whose jobs are over. */
export function dismiss(batch) {
  const at = batches.indexOf(batch);
  if (at >= 0) batches.splice(at, 1);
  changed.emit(null);
}

/** The jobs that end with the page. */
export const perishable = () => batches.flatMap(({ jobs }) => jobs).filter((job) => !job.isOver && !job.isKept);

/** Asks the server whether it has tasks. */
export async function probe() {
  try {
    await call("GET", "/v1/tasks?limit=1", { background: true });
    server.tasks = true;
  } catch (error) {
    if (error.kind === "http") server.tasks = false;
  }
}

/** Sends a job's request, in this tab alone; where another tab has done so meanwhile, its task is followed. */
function launch(job) {
  own(job, () => {
    if (job.taskId) {
      attend(job);
      return;
    }
    const go = job.way === "task" && server.tasks ? submit : (job) => turns(() => stream(job));
    held(job)
      .then(() => (job.stop.signal.aborted ? undefined : patiently(job, go)))
      .catch((error) => failed(job, error));
  });
}

/**
 * Does `work` for a job in this tab alone, until the job is over. While another tab does, that one tells what becomes
 * of it; when it has gone, this one goes on.
 */
function own(job, work) {
  if (job.isHere) {
    work();
    return;
  }
  alone(job.id, job.stop.signal, () => {
    if (job.isOver) return undefined;
    job.isHere = true;
    changed.emit(job);
    work();
    return job.settled;
  }).catch(() => {});
}

/** Waits until the time before which a batch's requests aren't sent. */
async function held(job) {
  const left = (job.batch.after ?? 0) - Date.now();
  if (left <= 0) return;
  job.progress = { eta_seconds: left / 1000, etaAt: Date.now() };
  await pause(left, job.stop.signal);
}

function failed(job, error) {
  if (!job.stop.signal.aborted) job.to("failed", { error: failureOf(error) });
}

/**
 * Sends a job's request again when the server says that this key has too many: a batch is as many requests as it has
 * images.
 */
async function patiently(job, go) {
  const { signal } = job.stop;
  for (let tries = 1; ; tries++) {
    try {
      return await go(job);
    } catch (error) {
      const { code, retryAfter } = error;
      if (signal.aborted || code !== "rate_limit_exceeded" || !(retryAfter <= PATIENCE) || tries === TRIES) throw error;
      job.progress = { eta_seconds: retryAfter, etaAt: Date.now() };
      job.to("held");
      await pause(retryAfter * 1000, signal);
      if (signal.aborted) return undefined;
    }
  }
}

const failureOf = (error) => ({
  message: error.message,
  code: error.code ?? null,
  kind: error.kind ?? "page",
  retryAfter: error.retryAfter ?? null,
});

async function stream(job) {
  if (job.isOver) return;
  job.to("waiting");
  const more = { stream: true, progress: true };
  if (job.batch.partial) more.partial_images = PARTIALS;
  const { response, record } = await request(job, more);
  for await (const { data } of events(response.body)) {
    if (data === "[DONE]") continue;
    const event = JSON.parse(data);
    note(record, event.type, event);
    const what = event.type.split(".").at(-1);
    if (what === "progress") job.update(event);
    else if (what === "partial_image")
      payload(event, job.stop.signal).then(
        (blob) => !job.isOver && job.show(blob),
        () => {},
      );
    else if (what === "completed") await keep(job, event);
    else if (what === "failed" || what === "error")
      throw Object.assign(new Error(event.error?.message ?? ""), event.error, { kind: "http" });
  }
  if (!job.isOver) throw Object.assign(new Error("cut"), { kind: "cut" });
}

// Tasks.

/** Set while the page is being left, which ends its requests. */
let isLeaving = false;
addEventListener("pagehide", () => {
  isLeaving = true;
});
addEventListener("pageshow", () => {
  isLeaving = false;
});

/**
 * Has a job made as a task. It is kept on the device before the server is asked: a page that is closed before the
 * answer is there sends the same request again on return, and is answered with the same task.
 */
async function submit(job) {
  job.to("waiting");
  await keepJob(job);
  let task;
  try {
    const { response } = await request(job, {}, { Prefer: "respond-async", "Idempotency-Key": job.key });
    task = await response.json();
  } catch (error) {
    if (!isLeaving) await forget(job);
    throw error;
  }
  if (job.stop.signal.aborted) {
    call("DELETE", `/v1/tasks/${task.id}`).catch(() => {});
    await forget(job);
    return;
  }
  job.taskId = task.id;
  await keepJob(job);
  take(job, task);
  follow(job);
}

/** Keeps a job on the device, with all that its request is made of. */
function keepJob(job) {
  const { id, index, recipe, batch, begun, taskId, key } = job;
  const { at, partial, images, mask } = batch;
  job.isKept = true;
  return store.put("jobs", { id, index, recipe, begun, taskId, key, batch: batch.id, at, partial, images, mask });
}

function forget(job) {
  job.isKept = false;
  return store.remove("jobs", job.id);
}

/** Finds the tasks again that a closed page has left. */
export async function resume() {
  if (!server.tasks) return;
  const left = (await store.all("jobs")).sort((a, b) => a.at - b.at || a.index - b.index);
  const known = new Set(batches.flatMap(({ jobs }) => jobs.map((job) => job.id)));
  for (const kept of left) {
    if (known.has(kept.id)) continue;
    let batch = batches.find(({ id }) => id === kept.batch);
    if (!batch) {
      batch = {
        id: kept.batch,
        at: kept.at,
        recipe: kept.recipe,
        way: "task",
        partial: kept.partial,
        images: kept.images ?? [],
        mask: kept.mask ?? null,
        jobs: [],
      };
      batches.unshift(batch);
    }
    const job = new Job(batch, kept.index, kept.recipe);
    Object.assign(job, {
      id: kept.id,
      taskId: kept.taskId,
      key: kept.key ?? job.key,
      isKept: true,
      begun: kept.begun,
      state: "waiting",
      marks: [{ state: "waiting", at: kept.begun }],
    });
    batch.jobs.push(job);
    if (job.taskId) follow(job);
    else launch(job);
  }
  changed.emit(null);
}

/** Takes a task's state. */
function take(job, task) {
  if (job.isOver || job.state === "fetching") return;
  const [image = {}] = task.images ?? [];
  if (task.status === "failed" || image.status === "failed") {
    const error = image.error ?? task.error ?? {};
    store.remove("jobs", job.id);
    job.to("failed", { error: { message: error.message ?? "", code: error.code ?? null, kind: "http" } });
  } else if (task.status === "cancelled" || image.status === "cancelled") {
    store.remove("jobs", job.id);
    job.to("cancelled");
  } else if (image.status === "succeeded" && (image.url ?? task.result?.data?.[0]?.url)) {
    const [result = {}] = task.result?.data ?? [];
    keep(job, {
      output_format: task.result?.output_format,
      size: task.result?.size,
      ...result,
      ...image,
      url: image.url ?? result.url,
    }).catch((error) => failed(job, error));
  } else if (["waiting", "queued", "running"].includes(image.status)) {
    job.update({ ...image, state: image.status });
  } else {
    job.update({ state: task.status === "running" ? "running" : "waiting" });
  }
}

/** Tasks that are followed by their events, and those that wait for that. */
const followed = new Set();
const polled = new Set();
let timer = null;

function pollLater() {
  if (timer === null) timer = setTimeout(poll, POLL);
}

/** Follows a task, in this tab alone. */
const follow = (job) => own(job, () => attend(job));

function attend(job) {
  if (followed.size >= FOLLOWED) {
    polled.add(job);
    pollLater();
    return;
  }
  followed.add(job);
  watch(job)
    .catch((error) => {
      if (!job.stop.signal.aborted && error.status === 404) {
        store.remove("jobs", job.id);
        job.to("failed", { error: { message: "", code: "task_gone", kind: "page" } });
      }
    })
    .finally(() => {
      followed.delete(job);
      // A stream may be cut at any time: the task is asked again.
      if (!job.isOver && job.state !== "fetching") polled.add(job);
      const [next] = polled;
      if (next && next !== job) {
        polled.delete(next);
        attend(next);
      }
      if (polled.size > 0) pollLater();
    });
}

async function watch(job) {
  const { response, record } = await send("GET", `/v1/tasks/${job.taskId}/events`, {
    signal: job.stop.signal,
    background: true,
  });
  for await (const { event, data } of events(response.body)) {
    const { task } = JSON.parse(data);
    note(record, event, { status: task.status, images: task.images });
    take(job, task);
    if (job.isOver || event === "task.completed") return;
  }
}

async function poll() {
  timer = null;
  for (const job of polled) if (job.isOver || job.state === "fetching") polled.delete(job);
  if (polled.size === 0) return;
  try {
    const { data } = await call("GET", "/v1/tasks?limit=100", { background: true });
    for (const job of [...polled]) {
      const task =
        data.find(({ id }) => id === job.taskId) ??
        (await call("GET", `/v1/tasks/${job.taskId}`, { background: true }));
      take(job, task);
    }
  } catch (error) {
    if (error.status === 404) {
      // One of them is gone; each is reported by its own stream.
      const [job] = polled;
      polled.delete(job);
      attend(job);
    }
  }
  for (const job of [...polled]) {
    if (followed.size >= FOLLOWED) break;
    polled.delete(job);
    if (!job.isOver && job.state !== "fetching") attend(job);
  }
  if (polled.size > 0) pollLater();
}
