// @ts-check
/**
 * Parameters inside image files, as the Stable Diffusion web UI (AUTOMATIC1111) writes them and every gallery reads
 * them: in PNG a text chunk `parameters`, in WebP and JPEG the EXIF user comment. The text is
 *
 * a red fox Negative prompt: blurry Steps: 9, Sampler: Euler, CFG scale: 4, Seed: 42, Size: 1024x1024, Model:
 * z-image-turbo
 *
 * where a value with a comma, colon or line end is a JSON text.
 *
 * Sources: PNG (W3C) sections 5.3, 11.3.3; the WebP container specification; EXIF 2.32 section 4.6.5 (UserComment); the
 * web UI's `infotext_utils.py`.
 */

import { crc32 } from "./crc.js";

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const KEYWORD = "parameters";
/** The web UI's names, and the request's. */
const NAMES = [
  ["Steps", "steps"],
  ["Sampler", "sampler"],
  ["CFG scale", "guidance_scale"],
  ["Seed", "seed"],
  ["Size", "size"],
  ["Aspect ratio", "aspect_ratio"],
  ["Model", "model"],
  ["Denoising strength", "strength"],
];
const NUMBERS = new Set(["steps", "guidance_scale", "seed", "strength"]);

/** A recipe as text. */
export function write(recipe) {
  const pairs = NAMES.filter(([, field]) => recipe[field] !== undefined && recipe[field] !== null).map(
    ([name, field]) => [name, recipe[field]],
  );
  pairs.push(
    ...Object.entries(recipe.extras ?? {}).map(([name, value]) => [
      name,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );
  const quoted = (value) => (/[,:"\n]/.test(value) ? JSON.stringify(value) : value);
  const lines = [recipe.prompt];
  if (recipe.negative_prompt) lines.push(`Negative prompt: ${recipe.negative_prompt}`);
  lines.push(pairs.map(([name, value]) => `${quoted(name)}: ${quoted(String(value))}`).join(", "));
  return lines.join("\n");
}

/** The recipe that a text holds, this program's or the web UI's; null where it holds none. */
export function read(text) {
  const lines = text.trim().split("\n");
  const pair = /\s*("(?:\\.|[^\\"])*"|\w[\w \-/.]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)/gu;
  let last = lines.at(-1);
  let pairs = [...last.matchAll(pair)];
  if (pairs.length < 2 || !/\b(Seed|Steps|Size|Model):/.test(last)) {
    pairs = [];
    last = null;
  }
  const above = (last === null ? lines : lines.slice(0, -1)).join("\n");
  const [prompt, ...negative] = above.split(/^Negative prompt: ?/m);
  const recipe = { prompt: prompt.trim(), extras: {} };
  if (negative.length > 0) recipe.negative_prompt = negative.join("").trim();
  const unquoted = (value) => {
    if (!value.startsWith('"')) return value.trim();
    try {
      return String(JSON.parse(value));
    } catch {
      return value;
    }
  };
  for (const [, rawName, rawValue] of pairs) {
    const [name, value] = [unquoted(rawName), unquoted(rawValue)];
    const field = NAMES.find(([known]) => known === name)?.[1];
    if (!field) recipe.extras[name] = literal(value);
    else if (!NUMBERS.has(field)) recipe[field] = value;
    else if (Number.isFinite(Number(value))) recipe[field] = Number(value);
  }
  return recipe.prompt === "" && pairs.length === 0 ? null : recipe;
}

/** A flag, a number or a list, where the text is one. */
function literal(value) {
  if (!/^(true|false|-?\d+(\.\d+)?|\[.*\])$/s.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** The image with the recipe inside, in whichever of the formats it is; another format is returned as it is. */
export async function embed(blob, recipe) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const text = write(recipe);
  switch (kind(bytes)) {
    case "png":
      return new Blob(pngWith(bytes, text), { type: "image/png" });
    case "webp":
      return new Blob([webpWith(bytes, exif(text))], { type: "image/webp" });
    case "jpeg":
      return new Blob(jpegWith(bytes, exif(text)), { type: "image/jpeg" });
    default:
      return blob;
  }
}

/** The recipe inside an image, or null. */
export async function extract(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  try {
    const text = { png: pngText, webp: webpText, jpeg: jpegText }[kind(bytes)]?.(bytes);
    const found = text instanceof Promise ? await text : text;
    return found ? read(found) : null;
  } catch {
    // It is cut, or lies about its lengths.
    return null;
  }
}

/** Format of an image, by its first bytes. */
export function kind(bytes) {
  if (PNG.every((byte, at) => bytes[at] === byte)) return "png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return "jpeg";
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 12) === "WEBP") return "webp";
  return null;
}

const ascii = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A PNG chunk: length, type, data, CRC over type and data. */
export function chunk(type, data) {
  const body = concat(new TextEncoder().encode(type), data);
  const framed = new Uint8Array(body.length + 8);
  view(framed).setUint32(0, data.length);
  framed.set(body, 4);
  view(framed).setUint32(body.length + 4, crc32(body));
  return framed;
}

/** The chunks of a PNG: type, and where the data begins and ends. */
function* pngChunks(bytes) {
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view(bytes).getUint32(at);
    const from = at + 8;
    if (from + length + 4 > bytes.length) return;
    yield { type: ascii(bytes, at + 4, at + 8), at, from, to: from + length };
    at = from + length + 4;
  }
}

const isText = (type) => type === "tEXt" || type === "iTXt" || type === "zTXt";

function pngWith(bytes, text) {
  const latin = /^[\x20-\x7e\xa1-\xff\n]*$/.test(text);
  const keyword = new TextEncoder().encode(`${KEYWORD}\0`);
  const added = latin
    ? chunk(
        "tEXt",
        concat(
          keyword,
          Uint8Array.from(text, (character) => character.charCodeAt(0)),
        ),
      )
    : chunk("iTXt", concat(keyword, new Uint8Array(4), new TextEncoder().encode(text)));
  const parts = [bytes.subarray(0, 8)];
  for (const { type, at, from, to } of pngChunks(bytes)) {
    if (isText(type) && ascii(bytes, from, from + KEYWORD.length + 1) === `${KEYWORD}\0`) continue;
    parts.push(bytes.subarray(at, to + 4));
    if (type === "IHDR") parts.push(added);
  }
  return parts;
}

function pngText(bytes) {
  for (const { type, from, to } of pngChunks(bytes)) {
    if (!isText(type) || ascii(bytes, from, from + KEYWORD.length + 1) !== `${KEYWORD}\0`) continue;
    let at = from + KEYWORD.length + 1;
    if (type === "tEXt") return new TextDecoder("latin1").decode(bytes.subarray(at, to));
    if (type === "zTXt") return inflated(bytes.subarray(at + 1, to), "latin1");
    const packed = bytes[at] === 1;
    at += 2;
    // The language, and the translated keyword.
    for (let ends = 0; ends < 2; at++) if (bytes[at] === 0) ends++;
    return packed ? inflated(bytes.subarray(at, to), "utf-8") : new TextDecoder().decode(bytes.subarray(at, to));
  }
  return null;
}

async function inflated(bytes, label) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new TextDecoder(label).decode(await new Response(stream).arrayBuffer());
}

/** EXIF that holds nothing but a user comment: a TIFF header, IFD0 with a pointer, the EXIF IFD. */
function exif(text) {
  const comment = new Uint8Array(8 + text.length * 2);
  comment.set(new TextEncoder().encode("UNICODE\0"));
  for (let at = 0; at < text.length; at++) view(comment).setUint16(8 + at * 2, text.charCodeAt(at));
  const head = new Uint8Array(44);
  const data = view(head);
  data.setUint32(0, 0x4d4d002a); // big endian
  data.setUint32(4, 8);
  data.setUint16(8, 1);
  data.setUint16(10, 0x8769); // ExifIFD: a long
  data.setUint16(12, 4);
  data.setUint32(14, 1);
  data.setUint32(18, 26);
  data.setUint16(26, 1);
  data.setUint16(28, 0x9286); // UserComment: undefined bytes
  data.setUint16(30, 7);
  data.setUint32(32, comment.length);
  data.setUint32(36, 44);
  return concat(head, comment);
}

/** The user comment of EXIF data, in either byte order. */
function userComment(bytes) {
  const data = view(bytes);
  const little = data.getUint16(0) === 0x4949;
  const find = (ifd, tag) => {
    for (let entry = 0; entry < data.getUint16(ifd, little); entry++) {
      const at = ifd + 2 + entry * 12;
      if (data.getUint16(at, little) === tag) return at;
    }
    return null;
  };
  const pointer = find(data.getUint32(4, little), 0x8769);
  const at = pointer === null ? null : find(data.getUint32(pointer + 8, little), 0x9286);
  if (at === null) return null;
  const [length, from] = [data.getUint32(at + 4, little), data.getUint32(at + 8, little)];
  const comment = bytes.subarray(from, from + length);
  const coding = ascii(comment, 0, 7);
  if (coding !== "UNICODE") return new TextDecoder().decode(comment.subarray(8)).replace(/\0+$/, "");
  // Programs differ in the byte order of the text: most characters tell which it is.
  const swapped = comment[9] === 0;
  return new TextDecoder(swapped ? "utf-16le" : "utf-16be").decode(comment.subarray(8));
}

/** The chunks of a WebP's RIFF: four letters, and where the data begins and ends. */
function* riffChunks(bytes) {
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view(bytes).getUint32(at + 4, true);
    yield { type: ascii(bytes, at, at + 4), at, from: at + 8, to: at + 8 + length };
    at += 8 + length + (length % 2);
  }
}

function riffChunk(type, data) {
  const framed = new Uint8Array(8 + data.length + (data.length % 2));
  framed.set(new TextEncoder().encode(type));
  view(framed).setUint32(4, data.length, true);
  framed.set(data, 8);
  return framed;
}

const EXIF_FLAG = 0x08;
const ALPHA_FLAG = 0x10;

/** A WebP with EXIF in place of any that it had; a simple file becomes an extended one. */
function webpWith(bytes, data) {
  const chunks = [...riffChunks(bytes)];
  const parts = chunks
    .filter(({ type }) => type !== "EXIF" && type !== "VP8X")
    .map(({ at, to }) => bytes.subarray(at, to + ((to - at) % 2)));
  const extended = chunks.find(({ type }) => type === "VP8X");
  const head = extended ? bytes.slice(extended.from, extended.from + 10) : extendedHead(bytes, chunks[0]);
  head[0] |= EXIF_FLAG;
  const body = concat(riffChunk("VP8X", head), ...parts, riffChunk("EXIF", data));
  const file = concat(new TextEncoder().encode("RIFF\0\0\0\0WEBP"), body);
  view(file).setUint32(4, file.length - 8, true);
  return file;
}

/** Contents of a simple file's VP8X chunk: flags, and both sides less one in 24 bits. */
function extendedHead(bytes, { type, from }) {
  const head = new Uint8Array(10);
  let [width, height] = [0, 0];
  if (type === "VP8L") {
    const bits = view(bytes).getUint32(from + 1, true);
    [width, height] = [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
    if ((bits >>> 28) & 1) head[0] |= ALPHA_FLAG;
  } else {
    width = view(bytes).getUint16(from + 6, true) & 0x3fff;
    height = view(bytes).getUint16(from + 8, true) & 0x3fff;
  }
  for (let at = 0; at < 3; at++) {
    head[4 + at] = ((width - 1) >> (8 * at)) & 0xff;
    head[7 + at] = ((height - 1) >> (8 * at)) & 0xff;
  }
  return head;
}

function webpText(bytes) {
  const found = [...riffChunks(bytes)].find(({ type }) => type === "EXIF");
  if (!found) return null;
  const data = bytes.subarray(found.from, found.to);
  // Some programs put JPEG's marker before it.
  return userComment(ascii(data, 0, 6) === "Exif\0\0" ? data.slice(6) : data);
}

const EXIF_MARKER = "Exif\0\0";

function jpegWith(bytes, data) {
  const payload = concat(new TextEncoder().encode(EXIF_MARKER), data);
  // A segment's length has 16 bits. A longer text stays out.
  if (payload.length + 2 > 0xffff) return [bytes];
  const head = new Uint8Array(4);
  view(head).setUint16(0, 0xffe1);
  view(head).setUint16(2, payload.length + 2);
  const parts = [bytes.subarray(0, 2), head, payload];
  let at = 2;
  for (const segment of jpegSegments(bytes)) {
    if (!segment.exif) parts.push(bytes.subarray(segment.at, segment.to));
    at = segment.to;
  }
  return [...parts, bytes.subarray(at)];
}

/** The segments before a JPEG's image data. */
function* jpegSegments(bytes) {
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda; ) {
    const to = at + 2 + view(bytes).getUint16(at + 2);
    yield { at, to, exif: bytes[at + 1] === 0xe1 && ascii(bytes, at + 4, at + 10) === EXIF_MARKER };
    at = to;
  }
}

function jpegText(bytes) {
  const found = [...jpegSegments(bytes)].find((segment) => segment.exif);
  return found ? userComment(bytes.slice(found.at + 10, found.to)) : null;
}
