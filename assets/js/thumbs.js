// @ts-check
/**
 * Thumbnails. Images of this device bring their own. One that only the server remembers is fetched once, when it comes
 * into sight, and its thumbnail is kept: a grid of whole files would load megabytes each time.
 */

import { image as fetchImage } from "./api.js";
import * as store from "./store.js";

/** The longer side of a thumbnail, in pixels. */
const SIDE = 480;
/** Files that are fetched at once. */
const AT_ONCE = 2;
/** Number of thumbnails of the server's images that are kept. */
const MOST = 2000;

const urls = new Map();
/** Thumbnails of images that aren't on this device, by id. */
const kept = new Map();
/** Errors of images whose files can't be had, by id. */
const missing = new Map();

/** Reads what is kept on the device. */
export async function load() {
  const all = (await store.all("thumbs")).sort((a, b) => b.at - a.at);
  for (const { id, thumb } of all.slice(0, MOST)) kept.set(id, thumb);
  const old = all.slice(MOST).map(({ id }) => id);
  if (old.length > 0) await store.remove("thumbs", ...old);
}

/** A thumbnail of an image, with the image's size. */
export async function make(blob) {
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const scale = Math.min(1, SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const thumb = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.82));
  return { thumb, width, height };
}

/** Address of an image's thumbnail; null where it is still to be fetched. */
export function url(picture) {
  if (!urls.has(picture.id)) {
    const thumb = picture.thumb ?? kept.get(picture.id);
    if (!thumb) return null;
    urls.set(picture.id, URL.createObjectURL(thumb));
  }
  return urls.get(picture.id);
}

/** The error of an image whose file can't be had. */
export const problem = (picture) => missing.get(picture.id) ?? null;

let running = 0;
const line = [];

/** Fetches an image that is only at the server, and makes its thumbnail. Resolves when there is one, or none. */
export async function fetch(picture) {
  if (running >= AT_ONCE) await new Promise((resolve) => line.push(resolve));
  running++;
  try {
    if (url(picture) !== null) return;
    const { thumb } = await make(await fetchImage(picture.url));
    kept.set(picture.id, thumb);
    missing.delete(picture.id);
    store.put("thumbs", { id: picture.id, thumb, at: Date.now() });
  } catch (error) {
    missing.set(picture.id, error);
  } finally {
    running--;
    line.shift()?.();
  }
}

/** Forgets thumbnails. */
export async function remove(ids) {
  for (const id of ids) {
    if (urls.has(id)) URL.revokeObjectURL(urls.get(id));
    urls.delete(id);
    kept.delete(id);
    missing.delete(id);
  }
  await store.remove("thumbs", ...ids);
}
