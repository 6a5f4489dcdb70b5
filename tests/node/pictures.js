/** Pictures without a library for them: PNGs of one colour are written, and those of the test Spaces read. */

import assert from "node:assert/strict";
import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

/** A PNG of one colour. */
export function plain(colour, side = 64) {
  const row = Buffer.concat([Buffer.of(0), ...Array(side).fill(Buffer.from(colour))]);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const rows = deflateSync(Buffer.concat(Array(side).fill(row)));
  return Buffer.concat([SIGNATURE, chunk("IHDR", head), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

/** A PNG of 8 bits a channel, from its bytes or from base64: its size, and its pixels as RGB. */
export function opened(data) {
  const png = typeof data === "string" ? Buffer.from(data, "base64") : Buffer.from(data);
  assert.deepEqual(png.subarray(0, 8), SIGNATURE, "a PNG");
  const [width, height, depth, type] = [png.readUInt32BE(16), png.readUInt32BE(20), png[24], png[25]];
  assert.equal(depth, 8);
  const channels = { 2: 3, 6: 4 }[type];
  const packed = [];
  for (let at = 8; at < png.length; at += png.readUInt32BE(at) + 12) {
    const end = at + 8 + png.readUInt32BE(at);
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") packed.push(png.subarray(at + 8, end));
  }
  const rows = unfiltered(inflateSync(Buffer.concat(packed)), width * channels, channels);
  const pixels = channels === 3 ? rows : Buffer.from(rows.filter((_, place) => place % 4 !== 3));
  return { width, height, pixels };
}

/** The rows without PNG's filters (the PNG specification, section 9). */
function unfiltered(rows, length, channels) {
  const out = Buffer.alloc((rows.length / (length + 1)) * length);
  for (let from = 0, to = 0; from < rows.length; from += length + 1) {
    const filter = rows[from];
    for (let x = 0; x < length; x += 1, to += 1) {
      const left = x < channels ? 0 : out[to - channels];
      const up = to < length ? 0 : out[to - length];
      const corner = x < channels || to < length ? 0 : out[to - length - channels];
      out[to] = rows[from + 1 + x] + [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

/** The seed that a picture of tests/space/app.py carries: 31 squares along its top, the lowest bit first. */
export function seedOf({ width, pixels }) {
  const isSet = (bit) => pixels[(4 * width + bit * 8 + 4) * 3] > 127;
  return Array.from({ length: 31 }, (_, bit) => (isSet(bit) ? 2 ** bit : 0)).reduce((sum, value) => sum + value);
}

/** The arguments that a picture of tests/space/shapes.py was made from. */
export function argumentsOf({ pixels }) {
  return JSON.parse(pixels.toString("utf8", 4, 4 + pixels.readUInt32BE(0)));
}
