/** The contact sheet: what it asks for, what it shows where nothing is left, and how it scrolls. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { generate, launch, made, ready, STUDIO_OUTPUT, visit } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const FILES = "/v1/images/files/";
/** The longest time that a frame may take while the gallery is scrolled, in milliseconds. */
const LONGEST = 50;

/** Another device of the visitor with that key, and how many files it asks for. */
async function device(key, options = {}) {
  const visitor = await visit(browser, { key, ...options });
  const counts = { files: 0 };
  visitor.page.on("request", (request) => (counts.files += Number(request.url().includes(FILES))));
  await visitor.page.reload();
  await ready(visitor.page);
  return { ...visitor, counts };
}

/** Waits until every tile shows an image, with all of its pixels. */
const shown = (page, total) =>
  page.waitForFunction((total) => {
    const images = [...document.querySelectorAll("#grid .picture img")];
    return (
      images.length === total && images.every((image) => !image.hidden && image.complete && image.naturalWidth > 0)
    );
  }, total);

test("each file is asked for once, as a thumbnail is kept, and no tile is made again", async () => {
  const first = await visit(browser);
  await first.page.fill(".readout[aria-label=Steps]", "1");
  await generate(first.page, "from another device", { count: 4 });
  const { page, counts, leave } = await device(first.key);
  await shown(page, 4);
  const before = counts.files;
  assert(before <= 8, `${before} files`);
  assert(
    await page.evaluate(() =>
      [...document.querySelectorAll("#grid img")].every((image) => {
        const { src, naturalWidth, naturalHeight } = image;
        return src.startsWith("blob:") && Math.max(naturalWidth, naturalHeight) <= 480;
      }),
    ),
    "thumbnails, not files",
  );
  await page.evaluate(() => {
    for (const tile of document.querySelectorAll("#grid .picture")) tile.marked = true;
  });
  await page.fill(".readout[aria-label=Steps]", "20");
  await page.fill("#prompt", "one more");
  await page.click("#make");
  await made(page, 5);
  await shown(page, 5);
  assert.equal(counts.files, before + 1, "the new one alone");
  const marked = await page.evaluate(
    () => [...document.querySelectorAll("#grid .picture")].filter((tile) => tile.marked).length,
  );
  assert.equal(marked, 4);
  await page.reload();
  await ready(page);
  await shown(page, 5);
  assert.equal(counts.files, before + 1, "nothing is asked for again");
  await leave();
  await first.leave();
});

test("an image whose file is gone has a placeholder that says so", async () => {
  const first = await visit(browser);
  await first.page.fill(".readout[aria-label=Steps]", "1");
  await generate(first.page, "soon gone", { count: 2 });
  const { page, leave } = await visit(browser, { key: first.key, expected: [410, 502] });
  await shown(page, 2);
  await page.waitForFunction(async () => (await (await import("/js/store.js")).all("thumbs")).length === 2);
  await page.route(`**${FILES}**`, (route) =>
    route.fulfill({ status: 410, json: { error: { message: "Gone.", code: "image_gone" } } }),
  );
  await page.evaluate(async () => {
    const { remove, all } = await import("/js/store.js");
    await remove("thumbs", ...(await all("thumbs")).map(({ id }) => id));
  });
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll("#grid .gone:not([hidden])").length === 2);
  assert.match(await page.locator("#grid .gone").first().textContent(), /No longer there/);
  assert.match(await page.locator("#grid .picture").first().ariaSnapshot(), /soon gone.*No longer there/);
  assert.equal(await page.locator("#grid .picture img:visible").count(), 0, "no alt text in place of an image");
  await page.locator("#grid .picture").first().click();
  await page.waitForFunction(() => document.querySelector("#viewer-problem").textContent !== "");
  assert.match(await page.textContent("#viewer-problem"), /can't be had any more/);
  assert.equal(await page.isVisible("#viewer-image"), false);
  await leave();
  await first.leave();
});

/**
 * The longest task of the page's main thread, by the time that the processor gave to it, in milliseconds: a frame waits
 * for the task before it, and what other programs take is none of the page's.
 */
function longestTask(trace) {
  const { traceEvents } = JSON.parse(trace.toString());
  const mains = new Set(
    traceEvents
      .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid}.${tid}`),
  );
  const tasks = traceEvents.filter(({ pid, tid, tdur }) => tdur > 0 && mains.has(`${pid}.${tid}`));
  assert(tasks.length > 100, `${tasks.length} tasks in the trace`);
  return Math.max(...tasks.map(({ tdur }) => tdur)) / 1000;
}

test("a thousand images are scrolled through without a frame above 50 ms", { timeout: 600_000 }, async () => {
  const { page, leave } = await visit(browser);
  await page.evaluate(async () => {
    const { put } = await import("/js/store.js");
    const canvas = Object.assign(document.createElement("canvas"), { width: 480, height: 320 });
    const context = canvas.getContext("2d");
    for (let number = 0; number < 1000; number++) {
      context.fillStyle = `hsl(${number % 360} 60% 50%)`;
      context.fillRect(0, 0, 480, 320);
      context.fillStyle = "white";
      context.fillText(`${number}`, 20, 20);
      const thumb = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.8));
      const recipe = { kind: "generation", model: "m", prompt: `image ${number}`, seed: number, extras: {} };
      const id = `seeded-${number}`;
      await put("images", { id, at: Date.now() - number * 3_600_000, recipe, width: 480, height: 320, thumb });
    }
  });
  await page.reload();
  await ready(page);
  await page.waitForSelector("#grid .picture");
  /** Scrolls through everything, a step for each frame, and tells the number of tiles in the end. */
  const scroll = () =>
    page.evaluate(async () => {
      const stage = document.querySelector("#stage");
      stage.scrollTo(0, 0);
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      for (let still = 0; still < 10; ) {
        await frame();
        const before = stage.scrollTop;
        stage.scrollBy(0, 150);
        await frame();
        still = stage.scrollTop === before ? still + 1 : 0;
      }
      return document.querySelectorAll("#grid .picture").length;
    });
  const runs = [];
  for (let run = 0; run < 3; run++) {
    await browser.startTracing(page, { categories: ["toplevel", "__metadata"] });
    const tiles = await scroll();
    runs.push({ tiles, longest: longestTask(await browser.stopTracing()) });
    if (runs.at(-1).longest < LONGEST) break;
    // Back to the first tiles.
    await page.fill("#search", "image");
    await page.fill("#search", "");
  }
  const said = runs.map(({ tiles, longest }) => `${tiles} tiles, the longest task ${longest.toFixed(1)} ms`).join("; ");
  console.log(said);
  await writeFile(join(STUDIO_OUTPUT, "scrolling.txt"), `${said}\n`);
  for (const { tiles } of runs) assert.equal(tiles, 1000, said);
  // The quickest of several: whatever else the processor does only ever adds.
  const longest = Math.min(...runs.map((run) => run.longest));
  assert(longest > 0 && longest < LONGEST, said);
  await leave();
});
