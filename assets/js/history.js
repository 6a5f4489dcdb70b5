// @ts-check
/**
 * The images there are: those kept on this device, and those that only the server remembers (`GET /v1/images`).
 */

import { call, image as fetchImage, here } from "./api.js";
import { Emitter } from "./dom.js";
import { extension } from "./jobs.js";
import { embed } from "./metadata.js";
import * as store from "./store.js";

/** The longer side of a thumbnail, in pixels. */
const THUMB = 480;
/** Number of images that the server is asked for at once. */
const PAGE = 50;

/**
 * @typedef {object} Picture
 * @property {string} id
 * @property {number} at milliseconds since the epoch
 * @property {import("./jobs.js").Recipe} recipe
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

const urls = new Map();

/** Reads what is kept on the device. */
export async function load() {
  pictures = (await store.all("images")).map((picture) => ({ ...picture, remote: false }));
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
  const { thumb, width, height } = await thumbnail(blob);
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
  pictures = pictures.filter((other) => !(other.remote && isSame(other, picture)));
  pictures.unshift({ ...picture, remote: false });
  sort();
}

async function thumbnail(blob) {
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const scale = Math.min(1, THUMB / Math.max(width, height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const thumb = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.82));
  return { thumb, width, height };
}

/** True where two are one: a seed, a model and a prompt make one image, and a repetition comes later. */
const isSame = (one, other) =>
  (one.taskId !== undefined && one.taskId === other.taskId) ||
  (one.recipe.seed === other.recipe.seed &&
    one.recipe.prompt === other.recipe.prompt &&
    one.recipe.model === other.recipe.model &&
    Math.abs(one.at - other.at) < 600_000);

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

/** Takes an image that the server remembers. */
function merge(image) {
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
  /** @type {import("./jobs.js").Recipe} */
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
  const picture = {
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
  const known =
    pictures.find((other) => other.serverId === id) ??
    pictures.find((other) => !other.serverId && isSame(other, picture));
  if (!known) pictures.push(picture);
  else Object.assign(known, { serverId: id, url: url ?? known.url });
}

/** Address of an image's thumbnail. */
export function thumbUrl(picture) {
  if (!picture.thumb) return picture.url ? here(picture.url) : "";
  if (!urls.has(picture.id)) urls.set(picture.id, URL.createObjectURL(picture.thumb));
  return urls.get(picture.id);
}

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

/** Deletes images here and at the server. */
export async function remove(chosen) {
  // What was made since the server was last asked has no id of the server's yet.
  if (remote.state === "ready" && chosen.some(({ serverId }) => !serverId)) await ask();
  const ids = new Set(chosen.map(({ id }) => id));
  pictures = pictures.filter(({ id }) => !ids.has(id));
  for (const id of ids) {
    if (urls.has(id)) URL.revokeObjectURL(urls.get(id));
    urls.delete(id);
  }
  changed.emit();
  await store.removeImages(chosen.filter((picture) => !picture.remote).map(({ id }) => id));
  if (remote.state === "ready") {
    const gone = chosen
      .filter(({ serverId }) => serverId)
      .map(({ serverId }) => call("DELETE", `/v1/images/${encodeURIComponent(serverId)}`, { background: true }));
    await Promise.allSettled(gone);
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
