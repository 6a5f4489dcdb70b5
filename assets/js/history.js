// @ts-check
/**
 * The images there are: those kept on this device, and those that only the server remembers (`GET /v1/images`).
 */

import { call, image as fetchImage } from "./api.js";
import { Emitter, UNDO } from "./dom.js";
import { embed } from "./metadata.js";
import { extension } from "./requests.js";
import * as store from "./store.js";
import { tell } from "./tabs.js";
import * as thumbs from "./thumbs.js";

/** Number of images that the server is asked for at once. */
const PAGE = 50;

/**
 * @typedef {object} Picture
 * @property {string} id
 * @property {number} at milliseconds since the epoch
 * @property {import("./requests.js").Recipe} recipe
 * @property {number} [width]
 * @property {number} [height]
 * @property {string} [format]
 * @property {number} [seconds] how long it took
 * @property {string} [space]
 * @property {string} [url] the server's link
 * @property {Blob} [thumb]
 * @property {boolean} [before] whether the image that it was made from is kept too
 * @property {string} [serverId] its id at the server
 * @property {boolean} remote whether it isn't on this device
 */

/** @type {Picture[]} the newest first */
let pictures = [];
/** Every change of the list. */
export const changed = new Emitter();
/** State of the server's list: whether there is one, and whether it goes on. */
export const remote = { state: "unknown", hasMore: false, last: null };

/** What is deleted and can still be taken back, by id. */
const trash = new Map();

/** Reads what is kept on the device, and deletes what an earlier page was asked to. */
export async function load() {
  const [kept, gone] = await Promise.all([store.all("images"), store.all("trash"), thumbs.load()]);
  for (const record of gone) {
    trash.set(record.id, record);
    setTimeout(() => purge([record]), Math.max(0, record.at + UNDO - Date.now()));
  }
  const known = new Set(pictures.map(({ id }) => id));
  pictures.push(
    ...kept.filter(({ id }) => !trash.has(id) && !known.has(id)).map((picture) => ({ ...picture, remote: false })),
  );
  sort();
}

/** Takes an image that another tab has kept. */
export async function adopt(id) {
  const picture = await store.get("images", id);
  if (picture) enter(picture);
}

/** Takes images off the list that another tab has deleted. */
export function forget(ids) {
  pictures = pictures.filter(({ id }) => !ids.includes(id));
  changed.emit();
}

/** Takes an image of this device onto the list. */
function enter(picture) {
  pictures = pictures.filter((other) => other.id !== picture.id && !(other.remote && isSame(other, picture)));
  pictures.unshift({ ...picture, remote: false });
  sort();
}

function sort() {
  pictures.sort((a, b) => b.at - a.at);
  changed.emit();
}

/** The image of that id. */
export const find = (id) => pictures.find((picture) => picture.id === id);

/** Those whose words are all in the prompt, the model or the seed. */
export function search(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return pictures;
  return pictures.filter(({ recipe, space }) => {
    const text = [recipe.prompt, recipe.negative_prompt, recipe.model, recipe.seed, recipe.sampler, space]
      .join(" ")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Keeps a finished image under that id. */
export async function add(id, blob, recipe, facts, before) {
  const { thumb, width, height } = await thumbs.make(blob);
  const picture = {
    id,
    at: Date.now(),
    recipe,
    width,
    height,
    format: extension(blob.type),
    thumb,
    before: Boolean(before),
    ...facts,
  };
  await store.put("blobs", { id, blob });
  if (before) await store.put("blobs", { id: `${id}.before`, blob: before });
  await store.put("images", picture);
  enter(picture);
  tell({ what: "image", id });
}

/** True where two are one: a seed, a model and a prompt make one image, and a repetition comes later. */
const isSame = (one, other) =>
  one.taskId && other.taskId
    ? one.taskId === other.taskId
    : one.recipe.seed === other.recipe.seed &&
      one.recipe.prompt === other.recipe.prompt &&
      one.recipe.model === other.recipe.model &&
      Math.abs(one.at - other.at) < 600_000;

/** Asks the server for what it remembers, from the newest on, or from where it was left. */
export async function ask({ more = false } = {}) {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (more && remote.last) query.set("after", remote.last);
  try {
    const answer = await call("GET", `/v1/images?${query}`, { background: true });
    Object.assign(remote, { state: "ready", hasMore: Boolean(answer.has_more), last: answer.last_id ?? remote.last });
    for (const image of answer.data) merge(image);
    sort();
  } catch (error) {
    remote.state =
      error.kind === "http" && error.status === 404 ? "absent" : error.kind === "http" ? "failed" : remote.state;
    changed.emit();
  }
}

/** An image that the server remembers. */
function pictureOf(image) {
  const {
    id,
    created_at,
    model,
    prompt,
    negative_prompt,
    seed,
    size,
    steps,
    guidance_scale,
    sampler,
    kind,
    url,
    space,
    output_format,
    task_id,
  } = image;
  /** @type {import("./requests.js").Recipe} */
  const recipe = {
    kind: kind === "generation" ? "generation" : "edit",
    model,
    prompt: prompt ?? "",
    negative_prompt,
    seed,
    size,
    steps,
    guidance_scale,
    sampler,
    extras: {},
  };
  for (const [name, value] of Object.entries(recipe)) if (value === undefined || value === null) delete recipe[name];
  const [, width, height] = /^(\d+)x(\d+)$/.exec(size ?? "") ?? [];
  return {
    id,
    at: created_at * 1000,
    recipe,
    width: Number(width) || undefined,
    height: Number(height) || undefined,
    format: output_format === "jpeg" ? "jpg" : output_format,
    space,
    url,
    taskId: task_id,
    serverId: id,
    remote: true,
  };
}

/** Takes an image that the server remembers. */
function merge(image) {
  const picture = pictureOf(image);
  const { id, url } = picture;
  const known =
    pictures.find((other) => other.serverId === id) ??
    pictures.find((other) => !other.serverId && isSame(other, picture));
  if (!known && isTrash(picture)) return;
  if (!known) pictures.push(picture);
  else Object.assign(known, { serverId: id, url: url ?? known.url });
}

/** True for an image that is deleted here, though the server still lists it. */
const isTrash = (picture) =>
  [...trash.values()].some((gone) => gone.serverId === picture.id || (!gone.serverId && isSame(gone.picture, picture)));

/** An image's bytes, from here or from the server. */
export async function bytes(picture) {
  return (await store.blob(picture.id)) ?? fetchImage(picture.url);
}

/** The image that it was made from, where that is kept. */
export const bytesBefore = (picture) => (picture.before ? store.blob(`${picture.id}.before`) : null);

/** A file to hand out, with the image's parameters inside. */
export const file = async (picture) => embed(await bytes(picture), picture.recipe);

/** A good name: when, what, from which seed. */
export function fileName(picture) {
  const day = new Date(picture.at);
  const two = (number) => String(number).padStart(2, "0");
  const time = [day.getHours(), day.getMinutes(), day.getSeconds()].map(two).join("");
  const date = `${day.getFullYear()}${two(day.getMonth() + 1)}${two(day.getDate())}-${time}`;
  const words = picture.recipe.prompt
    .normalize("NFC")
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "");
  const short = [...words].slice(0, 48).join("").replace(/-+$/, "");
  return (
    [date, short, picture.recipe.seed].filter((part) => part !== "" && part !== undefined).join("_") +
    `.${picture.format ?? "png"}`
  );
}

/** Takes images off the list and deletes them, here and at the server, in a while. Returns what takes that back. */
export function remove(chosen) {
  const records = chosen.map((picture) => {
    const { thumb, ...rest } = picture;
    return { id: picture.id, at: Date.now(), serverId: picture.serverId, picture: rest };
  });
  for (const record of records) trash.set(record.id, record);
  const ids = records.map(({ id }) => id);
  forget(ids);
  tell({ what: "gone", ids });
  // A page that is closed before the time is up leaves the rest to the next.
  for (const record of records) store.put("trash", record);
  const timer = setTimeout(() => purge(records), UNDO);
  return async () => {
    clearTimeout(timer);
    ids.forEach((id) => trash.delete(id));
    await store.remove("trash", ...ids);
    const known = new Set(pictures.map(({ id }) => id));
    pictures.push(...chosen.filter(({ id }) => !known.has(id)));
    sort();
    for (const id of ids) tell({ what: "image", id });
  };
}

/** Deletes for good. */
async function purge(records) {
  // What was made since the server was last asked has no id of the server's yet.
  if (remote.state === "ready" && records.some(({ serverId }) => !serverId)) await identify(records);
  const local = records.filter(({ picture }) => !picture.remote).map(({ id }) => id);
  await store.removeImages(local);
  await thumbs.remove(records.flatMap(({ id, serverId }) => [id, serverId].filter(Boolean)));
  const gone = records
    .filter(({ serverId }) => serverId)
    .map(({ serverId }) => call("DELETE", `/v1/images/${encodeURIComponent(serverId)}`, { background: true }));
  const answers = await Promise.allSettled(gone);
  // A server that can't be reached is asked by the next page.
  const isOffline = answers.some((answer) => answer.status === "rejected" && answer.reason.kind === "offline");
  if (isOffline) return;
  const ids = records.map(({ id }) => id);
  ids.forEach((id) => trash.delete(id));
  await store.remove("trash", ...ids);
}

/** Finds the server's ids of images that have none here. */
async function identify(records) {
  try {
    const { data } = await call("GET", `/v1/images?limit=${PAGE}`, { background: true });
    for (const record of records.filter(({ serverId }) => !serverId)) {
      const same = data.map(pictureOf).find((picture) => isSame(record.picture, picture));
      if (same) record.serverId = same.id;
    }
  } catch {
    // The images stay at the server.
  }
}

/**
 * A picture's facts as JSON may have them.
 * @param {Picture} picture
 */
export const facts = ({ at, recipe, width, height, seconds, space }) => ({
  made: new Date(at).toISOString(),
  ...recipe,
  width,
  height,
  seconds,
  space,
});
