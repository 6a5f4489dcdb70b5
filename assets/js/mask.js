// @ts-check
/**
 * Drawing a mask over an image: which part is to change.
 *
 * OpenAI's masks are transparent where the image is to change; most Spaces' are white there, and know no transparency.
 * The file that comes out is both: white and transparent where it was painted, black and opaque elsewhere. A canvas
 * can't hold a colour without opacity, so the PNG is written here.
 */

import { byId, openDialog } from "./dom.js";
import { chunk } from "./metadata.js";

/** Distance that an arrow key moves the brush, as a part of its size. */
const STRIDE = 0.5;
/** Number of strokes that can be taken back. */
const UNDO = 30;

/**
 * Lets a mask be drawn.
 * @param {Blob} image
 * @param {Blob|null} mask the one that there is
 * @returns {Promise<Blob|null|undefined>} the mask; null for none; undefined where it is to stay as it was
 */
export async function drawMask(image, mask) {
  const bitmap = await createImageBitmap(image);
  const easel = new Easel(bitmap, byId("mask-canvas"));
  if (mask) await easel.load(mask);
  const dialog = byId("mask-dialog");
  const wire = new AbortController();
  const { signal } = wire;
  const on = (id, event, listener) => byId(id).addEventListener(event, listener, { signal });
  return new Promise((resolve) => {
    let result;
    on("mask-size", "input", () => easel.setSize(Number(byId("mask-size").value)));
    /** @type {NodeListOf<HTMLInputElement>} */
    const tools = dialog.querySelectorAll("input[name=mask-tool]");
    for (const radio of tools)
      radio.addEventListener("change", () => (easel.erases = radio.value === "erase"), { signal });
    on("mask-undo", "click", () => easel.undo());
    on("mask-invert", "click", () => easel.invert());
    on("mask-clear", "click", () => easel.clear());
    on("mask-cancel", "click", () => dialog.close());
    on("mask-done", "click", async () => {
      result = easel.isEmpty() ? null : await easel.png();
      dialog.close();
    });
    dialog.addEventListener(
      "close",
      () => {
        wire.abort();
        easel.end();
        resolve(result);
      },
      { signal, once: true },
    );
    byId("mask-paint").checked = true;
    openDialog(dialog);
    easel.begin(Number(byId("mask-size").value));
  });
}

class Easel {
  erases = false;
  #undo = [];
  #stroke = null;
  #wire = new AbortController();
  #cursor;
  #shown = false;
  #due = null;

  constructor(bitmap, canvas) {
    this.bitmap = bitmap;
    this.canvas = canvas;
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    this.paint = document.createElement("canvas");
    this.tint = document.createElement("canvas");
    for (const layer of [this.paint, this.tint]) [layer.width, layer.height] = [bitmap.width, bitmap.height];
    this.context = this.paint.getContext("2d", { willReadFrequently: true });
    this.#cursor = { x: bitmap.width / 2, y: bitmap.height / 2 };
  }

  /** Takes an earlier mask: what is transparent in it was painted. */
  async load(mask) {
    const bitmap = await createImageBitmap(mask);
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.paint.width, this.paint.height);
    this.context.globalCompositeOperation = "destination-out";
    this.context.drawImage(bitmap, 0, 0, this.paint.width, this.paint.height);
    this.context.globalCompositeOperation = "source-over";
  }

  begin(size) {
    const { canvas } = this;
    const options = { signal: this.#wire.signal };
    canvas.addEventListener("pointerdown", (event) => this.#down(event), options);
    canvas.addEventListener("pointermove", (event) => this.#move(event), options);
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, () => (this.#stroke = null), options);
    canvas.addEventListener("pointerleave", () => this.#hideCursor(), options);
    canvas.addEventListener("blur", () => this.#hideCursor(), options);
    canvas.addEventListener("keydown", (event) => this.#key(event), options);
    this.setSize(size);
  }

  end() {
    this.#wire.abort();
    this.bitmap.close();
  }

  /** Sets the brush, in hundredths of the image's shorter side. */
  setSize(hundredths) {
    this.radius = (Math.min(this.paint.width, this.paint.height) * hundredths) / 200;
    this.#draw();
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.paint.width,
      y: ((event.clientY - box.top) / box.height) * this.paint.height,
    };
  }

  #down(event) {
    event.preventDefault();
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.#remember();
    this.#stroke = this.#at(event);
    this.#line(this.#stroke, this.#stroke);
  }

  #move(event) {
    this.#shown = true;
    // Between two frames the pointer may have been in more places.
    const moves = this.#stroke ? (event.getCoalescedEvents?.() ?? []) : [];
    for (const one of moves.length > 0 ? moves : [event]) {
      const to = this.#at(one);
      if (this.#stroke) {
        this.#line(this.#stroke, to);
        this.#stroke = to;
      }
      this.#cursor = to;
    }
    this.#draw();
  }

  #hideCursor() {
    this.#shown = false;
    this.#draw();
  }

  #key(event) {
    const stride = this.radius * 2 * STRIDE;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) {
      const clamp = (value, greatest) => Math.min(greatest, Math.max(0, value));
      const to = {
        x: clamp(this.#cursor.x + move[0] * stride, this.paint.width),
        y: clamp(this.#cursor.y + move[1] * stride, this.paint.height),
      };
      if (event.shiftKey) this.#line(this.#cursor, to);
      this.#cursor = to;
    } else if (event.key === " " || event.key === "Enter") {
      this.#remember();
      this.#line(this.#cursor, this.#cursor);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
    this.#shown = true;
    this.#draw();
  }

  #line(from, to) {
    const { context } = this;
    context.globalCompositeOperation = this.erases ? "destination-out" : "source-over";
    context.strokeStyle = "#fff";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = this.radius * 2;
    context.beginPath();
    context.moveTo(from.x, from.y);
    // A line of no length has no caps in every browser.
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    context.globalCompositeOperation = "source-over";
    this.#draw();
  }

  #pixels = () => this.context.getImageData(0, 0, this.paint.width, this.paint.height);

  #remember() {
    this.#undo.push(this.#pixels());
    // Snapshots are large: those of a large image are few.
    const most = Math.max(2, Math.min(UNDO, Math.floor(120_000_000 / (this.paint.width * this.paint.height * 4))));
    if (this.#undo.length > most) this.#undo.shift();
  }

  undo() {
    const last = this.#undo.pop();
    if (last) this.context.putImageData(last, 0, 0);
    this.#draw();
  }

  clear() {
    this.#remember();
    this.context.clearRect(0, 0, this.paint.width, this.paint.height);
    this.#draw();
  }

  invert() {
    this.#remember();
    this.context.globalCompositeOperation = "xor";
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.paint.width, this.paint.height);
    this.context.globalCompositeOperation = "source-over";
    this.#draw();
  }

  isEmpty() {
    const { data } = this.#pixels();
    for (let at = 3; at < data.length; at += 4) if (data[at] > 127) return false;
    return true;
  }

  /** Shows the image, what is painted of it tinted, and the brush. */
  #draw() {
    this.#due ??= requestAnimationFrame(() => {
      this.#due = null;
      if (!this.#wire.signal.aborted) this.#drawNow();
    });
  }

  #drawNow() {
    const { canvas, bitmap, paint, tint } = this;
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const over = tint.getContext("2d");
    over.globalCompositeOperation = "copy";
    over.drawImage(paint, 0, 0);
    over.globalCompositeOperation = "source-in";
    over.fillStyle = "#e2502f";
    over.fillRect(0, 0, tint.width, tint.height);
    context.globalAlpha = 0.62;
    context.drawImage(tint, 0, 0);
    context.globalAlpha = 1;
    if (!this.#shown) return;
    const thin = canvas.width / (canvas.getBoundingClientRect().width || canvas.width);
    /** @type {Array<[string, number]>} */
    const rings = [
      ["#000", 3],
      ["#fff", 1.5],
    ];
    for (const [colour, width] of rings) {
      context.strokeStyle = colour;
      context.lineWidth = width * thin;
      context.beginPath();
      context.arc(this.#cursor.x, this.#cursor.y, this.radius, 0, Math.PI * 2);
      context.stroke();
    }
  }

  /** The mask as a file. */
  png() {
    return maskPng(this.#pixels());
  }
}

/**
 * A mask as a PNG: white and transparent where `data` is opaque, black and opaque elsewhere.
 * @param {{data: Uint8ClampedArray, width: number, height: number}} painted
 */
export async function maskPng({ data, width, height }) {
  const rows = new Uint8Array(height * (width * 4 + 1));
  for (let y = 0, from = 3, to = 0; y < height; y++) {
    to++; // The row's filter: none.
    for (let x = 0; x < width; x++, from += 4, to += 4) {
      const isPainted = data[from] > 127;
      rows.fill(isPainted ? 255 : 0, to, to + 3);
      rows[to + 3] = isPainted ? 0 : 255;
    }
  }
  const packed = await new Response(
    new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate")),
  ).arrayBuffer();
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, 6], 8); // Eight bits of red, green, blue and opacity.
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return new Blob(
    [signature, chunk("IHDR", head), chunk("IDAT", new Uint8Array(packed)), chunk("IEND", new Uint8Array())],
    { type: "image/png" },
  );
}
