import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { argumentsOf, choose, generate, launch, made, visit } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** A picture of one colour, as a file to choose. */
const picture = (page, colour, width = 320, height = 256) =>
  page.evaluate(
    async ([colour, width, height]) => {
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d");
      context.fillStyle = colour;
      context.fillRect(0, 0, width, height);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
      return [...new Uint8Array(await blob.arrayBuffer())];
    },
    [colour, width, height],
  );

const openFirst = async (page) => {
  await page.locator("#grid .picture").first().click();
  await page.waitForFunction(
    () =>
      document.querySelector("#viewer-image").src.startsWith("blob:") &&
      document.querySelector("#viewer-image").complete,
  );
  await page.waitForTimeout(150);
};

test("progress is told step by step, with a bar and a clock, and consecutive seeds are used", async () => {
  const { page, leave } = await visit(browser);
  await page.evaluate(() => {
    // What is seen on the way, as it may be over before anybody looks again.
    window.seen = [];
    setInterval(() => {
      const card = document.querySelector(".job");
      if (!card) return;
      window.seen.push({
        state: card.querySelector(".job-state").textContent,
        facts: card.querySelector(".job-facts").textContent,
        bar: card.querySelector(".job-bar[value]")?.value,
        done: document.querySelector(".batch-facts").textContent,
        lanes: document.querySelectorAll(".lane").length,
        running: document.querySelectorAll(".lane .span.running").length,
      });
    }, 50);
  });
  await page.fill(".readout[aria-label=Steps]", "20");
  await page.fill("#prompt", "a lighthouse");
  await page.fill("#count", "3");
  await page.fill("#seed", "41");
  await page.click("#make");
  await made(page, 3);
  const seen = await page.evaluate(() => window.seen);
  assert(
    seen.some(({ state }) => /^Step \d+ of 20$/.test(state)),
    JSON.stringify(seen),
  );
  const bars = seen.map(({ bar }) => bar).filter((bar) => bar !== undefined);
  assert(
    new Set(bars).size >= 2 && bars.every((bar, at) => at === 0 || bar >= bars[at - 1]),
    `the bar moves, and never back: ${bars}`,
  );
  assert(
    seen.some(({ facts }) => /\d s/.test(facts) && /127\.0\.0\.1/.test(facts)),
    "the time and the Space",
  );
  assert(seen.some(({ done }) => /[12] of 3 done/.test(done)));
  assert(seen.every(({ lanes }) => lanes === 3) && seen.some(({ running }) => running >= 2));
  assert.deepEqual((await page.locator("#grid .picture-seed").allTextContents()).sort(), ["41", "42", "43"]);
  await leave();
});

test("one of several can be cancelled, then the rest, and any be tried again", async () => {
  const { page, leave } = await visit(browser);
  await page.fill("#prompt", "one of two");
  await page.fill("#count", "2");
  await page.fill("#seed", "7");
  await page.click("#make");
  await page.click('button[aria-label="Cancel image 2"]');
  await page.waitForSelector('.job:nth-child(2)[data-state="cancelled"]');
  assert.notEqual(await page.getAttribute(".job:nth-child(1)", "data-state"), "cancelled");
  await made(page, 1);
  assert.deepEqual(await page.locator("#grid .picture-seed").allTextContents(), ["7"]);
  await page.fill(".readout[aria-label=Steps]", "20");
  await page.fill("#count", "8");
  await page.click("#make");
  await page.waitForFunction(() => /Step/.test(document.querySelector(".job-state")?.textContent));
  await page.click(".cancel-all");
  await page.waitForFunction(() => document.querySelectorAll(".batch").length === 0);
  // Where the machine is slow, some may be done by then; not all eight.
  assert((await page.locator("#grid .picture").count()) < 9);
  await page.fill("#prompt", "fault: gr.Error");
  await page.fill("#count", "2");
  await page.locator("#count").blur();
  await page.click("#make");
  const failed = () =>
    page.waitForFunction(() => document.querySelectorAll('[data-state="failed"].ended-row').length === 2);
  await failed();
  const again = page.waitForRequest((request) => request.method() === "POST" && request.postData().includes("fault"));
  await page.locator(".ended-row[data-state=failed] .retry").first().click();
  await again;
  await failed();
  await leave();
});

test("what is too much for the key's limit waits in the page until it is let in", async () => {
  const { page, leave } = await visit(browser, { expected: [429] });
  let refused = 0;
  await page.route("**/v1/images/generations", (route) => {
    if (refused++ > 0) return route.continue();
    const error = { message: "Rate limit reached.", type: "requests", param: null, code: "rate_limit_exceeded" };
    return route.fulfill({ status: 429, headers: { "retry-after": "2" }, json: { error } });
  });
  await page.fill(".readout[aria-label=Steps]", "1");
  await page.fill("#prompt", "patience");
  await page.click("#make");
  await page.waitForFunction(
    () =>
      /Held back/.test(document.querySelector(".job-state")?.textContent) &&
      /about \d/.test(document.querySelector(".job-facts").textContent),
  );
  await made(page, 1);
  assert.equal(refused, 2);
  await leave();
});

test("images in the making are shown where the Space shows them", async () => {
  const { page, leave } = await visit(browser);
  await choose(page, "generator");
  await page.evaluate(() => {
    window.partials = [];
    new MutationObserver(() => {
      const image = document.querySelector(".partial");
      if (image && !window.partials.includes(image.src)) window.partials.push(image.src);
    }).observe(document.querySelector("#batches"), { subtree: true, childList: true, attributes: true });
  });
  await generate(page, "slowly", { seed: 5 });
  const partials = await page.evaluate(() => window.partials);
  assert(partials.length >= 1 && partials.every((url) => url.startsWith("blob:")), String(partials));
  await openFirst(page);
  assert.equal((await argumentsOf(page)).step, 3, "the last is the image");
  await leave();
});

test("an image is edited, with a mask that is drawn, and compared with what it was", async () => {
  const { page, leave } = await visit(browser);
  await choose(page, "editor");
  await page.fill("#prompt", "make it blue");
  await page.click("#make");
  assert.match(await page.textContent("#problem"), /Add the image/);
  await page.setInputFiles("#input-file", {
    name: "in.png",
    mimeType: "image/png",
    buffer: Buffer.from(await picture(page, "rgb(10,20,30)")),
  });
  await page.waitForSelector("#inputs img");
  await page.click("#draw-mask");
  await page.waitForSelector("#mask-dialog[open]");
  // By keyboard: the brush's middle is painted.
  await page.focus("#mask-canvas");
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await page.click("#mask-invert");
  await page.click("#mask-done");
  await page.waitForSelector("#inputs .badge");
  await page.fill(".readout[aria-label='Strength of the change']", "0.4");
  await page.locator(".readout").blur();
  await page.fill("#seed", "11");
  await page.click("#make");
  await made(page, 1);
  await openFirst(page);
  // The Space knows no transparency: what is to change is white for it. The corner is, after the inversion.
  assert.deepEqual(await argumentsOf(page), {
    prompt: "make it blue",
    image: [10, 20, 30],
    mask: [255, 255, 255],
    strength: 0.4,
    seed: 11,
  });
  assert(await page.isVisible("#compare"));
  await page.fill("#compare-range", "80");
  assert.equal(await page.evaluate(() => document.querySelector("#easel").style.getPropertyValue("--cut")), "80%");
  assert.equal(await page.evaluate(() => document.querySelector("#before-image").naturalWidth), 320);
  await leave();
});

test("a mask is drawn with the pointer, taken back, and white and transparent where it was painted", async () => {
  const { page, leave } = await visit(browser);
  await choose(page, "editor");
  await page.setInputFiles("#input-file", {
    name: "in.png",
    mimeType: "image/png",
    buffer: Buffer.from(await picture(page, "green", 200, 100)),
  });
  await page.click("#draw-mask");
  const box = await page.locator("#mask-canvas").boundingBox();
  const stroke = async (from, to) => {
    await page.mouse.move(box.x + from * box.width, box.y + 0.5 * box.height);
    await page.mouse.down();
    await page.mouse.move(box.x + to * box.width, box.y + 0.5 * box.height, { steps: 6 });
    await page.mouse.up();
  };
  await stroke(0.1, 0.3);
  await stroke(0.6, 0.9);
  await page.click("#mask-undo");
  await page.click("#mask-done");
  // The second stroke was taken back: the mask that is kept, opened again, has only the first.
  await page.click("#draw-mask");
  await page.waitForTimeout(200);
  const tinted = await page.evaluate(() => {
    const canvas = document.querySelector("#mask-canvas");
    const row = canvas.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1).data;
    const at = (x) => [...row.subarray(x * canvas.width * 4, x * canvas.width * 4 + 4)];
    return [at(0.2), at(0.75)];
  });
  assert(tinted[0][0] > 100 && tinted[1][0] < 10, JSON.stringify(tinted));
  await page.keyboard.press("Escape");
  const pixels = await page.evaluate(async () => {
    const { maskPng } = await import("/js/mask.js");
    const painted = { width: 2, height: 1, data: Uint8ClampedArray.of(255, 255, 255, 255, 0, 0, 0, 0) };
    const file = new Uint8Array(await (await maskPng(painted)).arrayBuffer());
    const text = String.fromCharCode(...file);
    const at = text.indexOf("IDAT") + 4;
    const length = new DataView(file.buffer).getUint32(at - 8);
    const stream = new Blob([file.subarray(at, at + length)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return [...new Uint8Array(await new Response(stream).arrayBuffer())];
  });
  assert.deepEqual(pixels, [0, 255, 255, 255, 0, 0, 0, 0, 255]);
  await leave();
});

test("several images are edited together where the Space takes several", async () => {
  const { page, leave } = await visit(browser);
  await choose(page, "several");
  await page.check('input[name="mode"][value="edit"]', { force: true });
  const files = [];
  for (const colour of ["rgb(1,2,3)", "rgb(4,5,6)"])
    files.push({ name: "a.png", mimeType: "image/png", buffer: Buffer.from(await picture(page, colour)) });
  await page.setInputFiles("#input-file", files);
  assert.equal(await page.locator("#inputs li").count(), 2);
  await generate(page, "both", { seed: 1 });
  await openFirst(page);
  assert.deepEqual((await argumentsOf(page)).images, [
    [1, 2, 3],
    [4, 5, 6],
  ]);
  // From there on to the next edit.
  await page.click("#viewer-actions >> text=Use as input");
  await page.locator("#inputs li").nth(2).waitFor();
  assert.equal(await page.locator("#inputs li").count(), 3);
  await leave();
});

test("a pasted image is one to start from", async () => {
  const { page, leave } = await visit(browser);
  await choose(page, "editor");
  await page.evaluate(
    async (bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], "pasted.png", { type: "image/png" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    },
    await picture(page, "red"),
  );
  await page.waitForSelector("#inputs img");
  await page.click('button[aria-label="Remove image 1"]');
  assert.equal(await page.locator("#inputs li").count(), 0);
  await leave();
});

test("variations are made from new seeds with everything else the same", async () => {
  const { page, leave } = await visit(browser);
  await choose(page, "flux-schnell");
  await page.fill("#width", "512");
  await page.locator("#width").blur();
  await page.fill("#height", "256");
  await page.locator("#height").blur();
  await generate(page, "a fox", { seed: 9 });
  await openFirst(page);
  await page.click("#viewer-actions >> text=4 variations");
  await made(page, 5);
  const seeds = await page.locator("#grid .picture-seed").allTextContents();
  assert.equal(new Set(seeds).size, 5);
  await openFirst(page);
  const { prompt, steps } = await argumentsOf(page);
  assert.deepEqual([prompt, steps], ["a fox", 4]);
  assert.match(await page.textContent("#viewer-facts"), /512 × 256/);
  await leave();
});
