import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  argumentsOf,
  choose,
  generate,
  launch,
  made,
  ready,
  STUDIO_DEAD_URL,
  STUDIO_OPEN_URL,
  visit,
  why,
} from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** Size of the image in the viewer. */
const sizeOf = (page) =>
  page.evaluate(() => {
    const { naturalWidth, naturalHeight } = document.querySelector("#viewer-image");
    return `${naturalWidth}x${naturalHeight}`;
  });

test("the key is asked for once, tried, kept on the device, and shown nowhere", async () => {
  const { page, context, key, leave } = await visit(browser, { withKey: false, expected: [401] });
  await page.waitForSelector("#key-dialog[open]");
  await page.fill("#key", "sk-wrong");
  await page.click("#key-save");
  await page.waitForFunction(() => document.querySelector("#key-note").textContent.includes("doesn't take this key"));
  assert.equal(await page.getAttribute("#key", "aria-invalid"), "true");
  await page.fill("#key", "schlüssel mit leerzeichen");
  await page.click("#key-save");
  await page.waitForFunction(() => document.querySelector("#key-note").textContent.includes("special characters"));
  await page.fill("#key", key);
  await page.click("#key-save");
  await ready(page);
  assert.equal(await page.isVisible("#key-dialog"), false);
  await page.reload();
  await ready(page);
  assert.equal(await page.isVisible("#key-dialog"), false, "not asked for again");
  // It is in local storage, in one place.
  const kept = await page.evaluate(
    (key) =>
      Object.entries(localStorage)
        .filter(([, value]) => value.includes(key))
        .map(([name]) => name),
    key,
  );
  assert.deepEqual(kept, ["z-image.api-key"]);
  assert.equal((await context.cookies()).length, 0);
  await page.click("#connection");
  assert.equal(await page.inputValue("#key"), "");
  await page.click("#forget-key");
  await page.waitForFunction(() => document.querySelector("#connection").textContent.includes("Key needed"));
  await leave();
});

test("a key that is taken away later is told and asked for again", async () => {
  const { page, context, leave } = await visit(browser, { expected: [401] });
  await context.addInitScript(() => localStorage.setItem("z-image.api-key", "sk-no-more"));
  await page.reload();
  await page.waitForSelector("#banner:not([hidden])");
  assert.match(await page.textContent("#banner"), /doesn't take this key/);
  assert.equal(await page.getAttribute("#banner", "role"), "alert");
  await page.click("#banner button");
  assert(await page.isVisible("#key-dialog"));
  await leave();
});

test("an open server needs no key", async () => {
  const { page, leave } = await visit(browser, { url: STUDIO_OPEN_URL, withKey: false });
  await ready(page);
  await generate(page, "no key at all");
  await page.click("#connection");
  assert.match(await page.textContent("#key-note"), /no key is needed/);
  await leave();
});

test("a model without a Space that answers is told, with the reason", async () => {
  const { page, leave } = await visit(browser, { url: STUDIO_DEAD_URL, expected: [502, 503] });
  await page.waitForSelector("#banner:not([hidden])");
  assert.match(await page.textContent("#banner"), /No Space of this model can be used.*unreachable/s);
  await page.fill("#prompt", "anything");
  await page.click("#make");
  assert.match(await why(page), /can't be reached/);
  await leave();
});

test("offline is told, and over when it is over", async () => {
  const { page, context, leave } = await visit(browser, { expected: ["offline"] });
  await page.waitForLoadState("networkidle");
  await context.setOffline(true);
  await page.fill("#prompt", "offline");
  await page.click("#make");
  assert.match(await why(page), /can't be reached/);
  assert.match(await page.textContent("#banner"), /can't be reached/);
  assert.match(await page.textContent("#connection"), /Offline/);
  await context.setOffline(false);
  await page.waitForSelector("#banner[hidden]", { state: "attached" });
  await page.click(".ended-row .retry");
  await made(page, 1);
  await leave();
});

test("what a Space refuses is told in its words, as text", async () => {
  const { page, leave } = await visit(browser, { expected: [400, 422, 500, 502] });
  await page.fill("#prompt", "fault: gr.Error");
  await page.click("#make");
  assert.match(await why(page), /Prompt rejected/);
  assert.equal(await page.locator(".ended-why b").count(), 0);
  await page.click(".ended-row .dismiss");
  assert.equal(await page.locator(".ended-row").count(), 0);
  await page.click(".toast button");
  assert.match(await why(page), /Prompt rejected/);
  await leave();
});

test("nothing is asked for without a prompt", async () => {
  const { page, leave } = await visit(browser);
  await page.click("#make");
  assert.match(await page.textContent("#problem"), /what the image should show/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
  assert.equal(await page.getAttribute("#prompt", "aria-invalid"), "true");
  assert.equal(await page.locator(".batch").count(), 0);
  await leave();
});

test("each model has its own controls, and no other", async () => {
  const { page, leave } = await visit(browser);
  const shown = async () => ({
    tiles: await page.locator("#size-section:not([hidden]) .tile-name").allTextContents(),
    free: await page.isVisible("#width"),
    negative: await page.isVisible("#negative"),
    seed: await page.isVisible("#seed"),
    fields: await page.locator("#fields label, #fields legend").allTextContents(),
    own: await page.locator("#own-section:not([hidden]) label").allTextContents(),
    modes: (await page.isVisible("#modes")) ? 2 : 1,
    input: await page.isVisible("#input-section"),
  });
  const free = ["1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "21:9"];
  const plain = {
    tiles: free,
    free: true,
    negative: false,
    seed: true,
    fields: ["Steps"],
    own: [],
    modes: 1,
    input: false,
  };
  for (const [model, expected] of Object.entries({
    "z-image-turbo": plain,
    "flux-dev": { ...plain, fields: ["Steps", "Guidance"] },
    "qwen-image": {
      ...plain,
      tiles: ["1:1", "16:9", "9:16", "4:3"],
      free: false,
      fields: ["Steps", "Guidance"],
      own: ["Prompt Enhance"],
    },
    sdxl: { ...plain, negative: true, fields: ["Steps", "Guidance", "Sampler"] },
    chinese: { ...plain, negative: true },
    tongyi: { ...plain, tiles: ["1:1", "3:2", "2:3", "1:1"], free: false, own: ["Time Shift"], modes: 2 },
    unnamed: {
      ...plain,
      tiles: ["256 × 256", "512 × 256", "256 × 512"],
      free: false,
      seed: false,
      fields: [],
      own: ["Again"],
      modes: 2,
    },
    lightning: { ...plain, tiles: [], free: false, seed: false },
    editor: { ...plain, tiles: [], free: false, fields: ["Strength of the change"], input: true },
  })) {
    await choose(page, model);
    assert.deepEqual(await shown(), expected, model);
  }
  await leave();
});

test("a size, steps, a seed and a Space's own parameter reach the Space as they are chosen", async () => {
  const { page, leave } = await visit(browser);
  const open = async () => {
    await page.locator("#grid .picture").first().click();
    await page.waitForFunction(
      () =>
        document.querySelector("#viewer-image").src.startsWith("blob:") &&
        document.querySelector("#viewer-image").naturalWidth > 480,
    );
  };
  const close = () => page.click("#viewer-close");
  await choose(page, "sdxl");
  await page.fill("#negative", "fog, haze");
  await page.check('#base-list input[value="768"]', { force: true });
  await page.check('#tiles input[value="1024x576"]', { force: true });
  await page.selectOption("#field-sampler", "DDIM");
  await page.fill(".readout[aria-label=Steps]", "31");
  await generate(page, "a red fox", { seed: 12345 });
  await open();
  assert.deepEqual(await argumentsOf(page), {
    seed: 12345,
    prompt: "a red fox",
    negative: "fog, haze",
    scheduler: "DDIM",
    steps: 31,
    guidance: 6,
  });
  assert.equal(await sizeOf(page), "1024x576");
  await close();
  await choose(page, "qwen-image");
  await page.check('#tiles input[value="9:16"]', { force: true });
  await page.click("#own-section summary");
  await page.uncheck("#own-fields input", { force: true });
  await generate(page, "tall", { seed: 3, total: 2 });
  await open();
  const { enhance, seed } = await argumentsOf(page);
  assert.deepEqual([enhance, seed], [false, 3]);
  assert.equal(await sizeOf(page), "768x1344");
  await close();
  await choose(page, "tongyi");
  await page.check('#tiles input[value="832x1248 ( 2:3 )"]', { force: true });
  await generate(page, "a choice", { seed: 4, total: 3 });
  await open();
  assert.equal(await sizeOf(page), "832x1248");
  await leave();
});

test("an unlocked seed changes each time, the dice throws, a lock holds", async () => {
  const { page, leave } = await visit(browser);
  const seed = () => page.inputValue("#seed");
  const first = await seed();
  await page.click("#dice");
  const thrown = await seed();
  assert.notEqual(thrown, first);
  await page.fill("#prompt", "seeds");
  await page.click("#make");
  await made(page, 1);
  const used = await seed();
  assert.notEqual(used, thrown);
  await page.click("#lock");
  assert.equal(await page.getAttribute("#lock", "aria-pressed"), "true");
  await page.click("#make");
  await made(page, 2);
  assert.equal(await seed(), used);
  const seeds = await page.locator("#grid .picture-seed").allTextContents();
  assert.deepEqual(seeds, [used, used]);
  await leave();
});
