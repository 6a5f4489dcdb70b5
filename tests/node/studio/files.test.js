import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { choose, generate, launch, made, ready, STUDIO_OUTPUT, visit } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const openFirst = async (page) => {
  await page.locator("#grid .picture").first().click();
  await page.waitForFunction(() => document.querySelector("#viewer-image").src.startsWith("blob:"));
};

/** Downloads the image that is shown. */
async function download(page, as) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click("#viewer-actions .primary")]);
  const path = join(STUDIO_OUTPUT, as);
  await file.saveAs(path);
  return { name: file.suggestedFilename(), bytes: await readFile(path) };
}

/** Lets a file fall onto the page. */
const drop = (page, bytes, type, onto = "#stage") =>
  page.evaluate(
    ([bytes, type, onto]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], "dropped", { type }));
      const at = document.querySelector(onto);
      for (const name of ["dragenter", "dragover", "drop"])
        at.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
    },
    [[...bytes], type, onto],
  );

test("a download has a good name and its parameters inside, and brings them back when it is dropped here", async () => {
  const { page, context, leave } = await visit(browser);
  await page.check('#base-list input[value="512"]', { force: true });
  await page.check('#tiles input[value="704x384"]', { force: true });
  await page.fill(".readout[aria-label=Steps]", "3");
  for (const [format, name] of [
    ["png", "download.png"],
    ["webp", "download.webp"],
    ["jpeg", "download.jpg"],
  ]) {
    await page.selectOption("#format", format);
    const total = { png: 1, webp: 2, jpeg: 3 }[format];
    await generate(page, "落日 a sunset", { seed: 7, total });
    await openFirst(page);
    const { name: suggested, bytes } = await download(page, name);
    assert.match(suggested, new RegExp(`^\\d{8}-\\d{6}_落日-a-sunset_7\\.${name.split(".")[1]}$`));
    await page.click("#viewer-close");
    // In a fresh browser.
    const other = await visit(browser);
    await drop(other.page, bytes, `image/${format}`);
    await other.page.waitForFunction(() => document.querySelector("#prompt").value !== "");
    const read = await other.page.evaluate(() => ({
      prompt: document.querySelector("#prompt").value,
      seed: document.querySelector("#seed").value,
      locked: document.querySelector("#lock").getAttribute("aria-pressed"),
      size: `${document.querySelector("#width").value}x${document.querySelector("#height").value}`,
      steps: document.querySelector(".readout").value,
      tile: document.querySelector("#tiles input:checked")?.value,
    }));
    assert.deepEqual(
      read,
      { prompt: "落日 a sunset", seed: "7", locked: "true", size: "704x384", steps: "3", tile: "704x384" },
      format,
    );
    await other.leave();
  }
  // All of them in one file.
  await page.click("#choose");
  await page.click("#choose-all");
  assert.match(await page.textContent("#chosen-count"), /3 selected/);
  const [archive] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
  assert.match(archive.suggestedFilename(), /^z-image_\d{4}-\d\d-\d\d\.zip$/);
  await archive.saveAs(join(STUDIO_OUTPUT, "export.zip"));
  assert.equal(context.pages().length, 1);
  await leave();
});

test("an image without settings is one to start from, or is refused in words", async () => {
  const { page, leave } = await visit(browser);
  const png = await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
    canvas.getContext("2d").fillRect(0, 0, 8, 8);
    return [...new Uint8Array(await (await new Promise((resolve) => canvas.toBlob(resolve))).arrayBuffer())];
  });
  await drop(page, png, "image/png");
  await page.waitForSelector(".toast.failed");
  assert.match(await page.textContent(".toast"), /holds no settings/);
  await choose(page, "editor");
  await drop(page, png, "image/png");
  await page.waitForSelector("#inputs img");
  await drop(page, [1, 2, 3], "image/png", "#prompt");
  await leave();
});

test("the history stays on the device, is searched, and images are deleted for good", async () => {
  const { page, leave } = await visit(browser);
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, "a red fox", { seed: 1 });
  await generate(page, "a blue whale", { seed: 2, total: 2 });
  await page.reload();
  await ready(page);
  await made(page, 2);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await page.keyboard.type("WHALE blue");
  await page.waitForFunction(() => document.querySelectorAll("#grid .picture").length === 1);
  assert.match(await page.getAttribute("#grid .picture img", "alt"), /a blue whale, seed 2/);
  await page.fill("#search", "unicorn");
  assert.match(await page.textContent("#empty-text"), /Nothing found/);
  await page.fill("#search", "");
  await openFirst(page);
  await page.keyboard.press("Delete");
  await page.waitForFunction(() => document.querySelectorAll("#grid .picture").length === 1);
  await page.click("#viewer-close");
  await page.click("#choose");
  await page.click("#grid .picture");
  assert.equal(await page.getAttribute("#grid .picture", "aria-pressed"), "true");
  await page.click("#delete-chosen");
  await page.waitForSelector("#empty:not([hidden])");
  // Deleted for good when it can't be taken back any more.
  await page.waitForFunction(async () => {
    const { all } = await import("/js/store.js");
    const left = await Promise.all(["images", "blobs", "trash"].map(all));
    return left.every((records) => records.length === 0);
  });
  await leave();
});

test("the viewer goes from image to image, zooms by key, wheel and button, and copies parameters", async () => {
  const { page, context, leave } = await visit(browser);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, "first", { count: 2, seed: 100 });
  await openFirst(page);
  assert.equal(await page.textContent("#viewer-place"), "1 / 2");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.querySelector("#viewer-place").textContent === "2 / 2");
  assert(await page.isDisabled("#viewer-next"));
  await page.keyboard.press("+");
  assert.equal(await page.textContent("#zoom-now"), "150 %");
  await page.keyboard.press("0");
  assert.equal(await page.textContent("#zoom-now"), "100 %");
  const box = await page.locator("#easel").boundingBox();
  await page.mouse.move(box.x + 30, box.y + 30);
  await page.mouse.wheel(0, -400);
  await page.waitForFunction(() => Number.parseInt(document.querySelector("#zoom-now").textContent, 10) > 200);
  const scale = () =>
    page.evaluate(() =>
      ["--scale", "--x", "--y"].map((name) =>
        parseFloat(document.querySelector("#easel").style.getPropertyValue(name)),
      ),
    );
  const [, x] = await scale();
  await page.mouse.down();
  await page.mouse.move(box.x - 100, box.y + 30, { steps: 4 });
  await page.mouse.up();
  assert((await scale())[1] < x, "it is moved");
  await page.click("#viewer-actions >> text=Copy parameters");
  await page.waitForSelector("#viewer .toast");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /^first\nSteps: 1, Seed: 10[01], Size: 1024x1024, Model: z-image-turbo$/);
  await page.click("#viewer-actions >> text=Copy image");
  await page.waitForFunction(async () => (await navigator.clipboard.read())[0].types.includes("image/png"));
  await page.click("#viewer-actions >> text=Use these settings");
  assert.equal(await page.getAttribute("#lock", "aria-pressed"), "true");
  await leave();
});
