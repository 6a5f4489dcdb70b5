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
  assert.match(await page.locator("#grid .picture").first().getAttribute("aria-label"), /soon gone.*No longer there/);
  assert.equal(await page.locator("#grid .picture img:visible").count(), 0, "no alt text in place of an image");
  await page.locator("#grid .picture").first().click();
  await page.waitForFunction(() => document.querySelector("#viewer-problem").textContent !== "");
  assert.match(await page.textContent("#viewer-problem"), /can't be had any more/);
  assert.equal(await page.isVisible("#viewer-image"), false);
  await leave();
  await first.leave();
});

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
  /** Times of the frames while everything is scrolled through, in milliseconds. */
  const scroll = () =>
    page.evaluate(async () => {
      const stage = document.querySelector("#stage");
      stage.scrollTo(0, 0);
      const work = [];
      const observer = new PerformanceObserver((list) => work.push(...list.getEntries()));
      observer.observe({ type: "long-animation-frame" });
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      for (let still = 0; still < 10; ) {
        await frame();
        const before = stage.scrollTop;
        stage.scrollBy(0, 150);
        await frame();
        still = stage.scrollTop === before ? still + 1 : 0;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
      observer.disconnect();
      return {
        tiles: document.querySelectorAll("#grid .picture").length,
        longest: Math.max(0, ...work.map(({ duration }) => duration)),
        long: work.length,
      };
    });
  const runs = [];
  // The quickest of several: whatever else the processor does only ever adds.
  for (let run = 0; run < 4; run++) {
    runs.push(await scroll());
    if (run > 0 && runs.at(-1).long === 0) break;
    await page.fill("#search", "image");
    await page.fill("#search", "");
  }
  const said = runs.map(
    ({ tiles, longest, long }) => `${tiles} tiles, ${long} frames above 50 ms, ${Math.round(longest)} ms`,
  );
  console.log(said.join("; "));
  await writeFile(join(STUDIO_OUTPUT, "scrolling.txt"), `${said.join("\n")}\n`);
  assert(
    runs.every(({ tiles }) => tiles === 1000),
    said.join("; "),
  );
  assert(
    runs.some(({ long }) => long === 0),
    said.join("; "),
  );
  await leave();
});
