// @ts-check
/**
 * A ZIP archive (PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16) of files as they are: images don't get smaller by
 * packing.
 */

import { crc32 } from "./crc.js";

/** The bit that says that names are UTF-8. */
const UTF8 = 0x0800;

/**
 * @param {Array<{name: string, blob: Blob, at: Date}>} files
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob, at } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const encoded = new TextEncoder().encode(name);
    const shared = fields(
      [20, 2],
      [UTF8, 2],
      [0, 2],
      [dosTime(at), 2],
      [dosDate(at), 2],
      [crc32(bytes), 4],
      [bytes.length, 4],
      [bytes.length, 4],
      [encoded.length, 2],
      [0, 2],
    );
    const local = [fields([0x04034b50, 4]), shared, encoded];
    directory.push(
      fields([0x02014b50, 4], [20, 2]),
      shared,
      fields([0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]),
      encoded,
    );
    parts.push(...local, bytes);
    offset += length(local) + bytes.length;
  }
  const end = fields(
    [0x06054b50, 4],
    [0, 2],
    [0, 2],
    [files.length, 2],
    [files.length, 2],
    [length(directory), 4],
    [offset, 4],
    [0, 2],
  );
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

const length = (parts) => parts.reduce((sum, part) => sum + part.length, 0);

/** Little-endian numbers of so many bytes each. */
function fields(...values) {
  const bytes = new Uint8Array(values.reduce((sum, [, size]) => sum + size, 0));
  let at = 0;
  for (const [value, size] of values) {
    for (let byte = 0; byte < size; byte++) bytes[at++] = Math.floor(value / 2 ** (8 * byte)) & 0xff;
  }
  return bytes;
}

const dosTime = (at) => (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1);
const dosDate = (at) => ((at.getFullYear() - 1980) << 9) | ((at.getMonth() + 1) << 5) | at.getDate();
