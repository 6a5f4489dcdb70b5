/** What is made, what fails and what is cancelled is kept: over failed requests, reloads, and several tabs. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, made, ready, STUDIO_URL, visit, why } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const FILES = "**/v1/images/files/**";

const start = async (page, prompt, { count = 1, steps = 1 } = {}) => {
  await page.fill(".readout[aria-label=Steps]", String(steps));
  await page.fill("#prompt", prompt);
  await page.fill("#count", String(count));
  await page.click("#make");
};

/** Counts of what a context asks for: images that are to be made, and files. */
const count = (context) => {
  const counts = { made: 0, files: 0 };
  context.on("request", (request) => {
    if (request.method() === "POST" && /\/v1\/images\/(generations|edits)$/.test(request.url())) counts.made++;
    if (request.url().includes("/v1/images/files/")) counts.files++;
  });
  return counts;
};

/** Numbers of images on the device, and of their files. */
const stored = (page) =>
  page.evaluate(async () => {
    const { all } = await import("/js/store.js");
    return [(await all("images")).length, (await all("blobs")).length];
  });

/** Another tab of the same visitor. */
const another = async ({ context, eye }) => {
  const tab = await context.newPage();
  eye.watch(tab);
  await tab.goto(STUDIO_URL);
  await ready(tab);
  return tab;
};

test("two tabs show each other's images, on their way and made, and keep each once", async () => {
  const visitor = await visit(browser);
  const { page, context, leave } = visitor;
  const counts = count(context);
  const tab = await another(visitor);
  await start(page, "in two tabs", { count: 3, steps: 20 });
  await tab.waitForSelector(".job[data-state=running]");
  for (const one of [page, tab]) await made(one, 3);
  assert.deepEqual(await stored(tab), [3, 3]);
  assert.deepEqual(counts, { made: 3, files: 3 });
  // A third one that comes later, and deletion.
  const third = await another(visitor);
  await made(third, 3);
  await third.click("#grid .picture");
  await third.keyboard.press("Delete");
  await made(page, 2);
  await third.click("#viewer .toast button");
  for (const one of [page, tab, third]) await made(one, 3);
  assert.deepEqual(await stored(page), [3, 3]);
  await leave();
});

test("a tab that is closed leaves its images to another", async () => {
  const visitor = await visit(browser);
  const { page, leave } = visitor;
  const tab = await another(visitor);
  await start(page, "left to another", { count: 2, steps: 20 });
  await tab.waitForSelector(".job[data-state=running]");
  await page.close();
  await made(tab, 2);
  assert.deepEqual(await stored(tab), [2, 2]);
  await leave();
});

test("a finished image whose file doesn't come is asked for again, by itself", async () => {
  const { page, context, leave } = await visit(browser, { expected: [502, "offline"] });
  const counts = count(context);
  let refused = 0;
  await page.route(FILES, (route) => {
    refused++;
    if (refused === 1) return route.fulfill({ status: 502, json: { error: { message: "Not now." } } });
    if (refused === 2) return route.abort("connectionrefused");
    return route.continue();
  });
  await start(page, "at the third try");
  await made(page, 1);
  assert.deepEqual([counts.made, refused], [1, 3]);
  await leave();
});

test("what is made is fetched again by a button, after a reload too, and never made again", async () => {
  const { page, context, leave } = await visit(browser, { expected: [403] });
  const counts = count(context);
  const refuse = (route) => route.fulfill({ status: 403, json: { error: { message: "No.", code: "invalid_link" } } });
  await page.route(FILES, refuse);
  await start(page, "made and not here");
  assert.match(await why(page), /No\./);
  await page.reload();
  await ready(page);
  await page.waitForSelector(".ended-row");
  await page.waitForFunction(() => document.querySelectorAll(".batch").length === 0);
  assert.match(await page.textContent(".ended-row .retry"), /Fetch again/);
  await page.unroute(FILES, refuse);
  await page.click(".ended-row .retry");
  await made(page, 1);
  await page.waitForSelector("#ended[hidden]", { state: "attached" });
  assert.equal(counts.made, 1);
  assert.deepEqual(await stored(page), [1, 1]);
  await leave();
});

test("failures and cancelled images stay over a reload, are tried again, and dismissed together", async () => {
  const { page, leave } = await visit(browser, { expected: [400, 422, 500, 502] });
  await start(page, "fault: gr.Error");
  assert.match(await why(page), /Prompt rejected/);
  await start(page, "not this one", { steps: 20 });
  await page.waitForSelector(".job[data-state=running]");
  await page.click('button[aria-label="Cancel image 1"]');
  await why(page, "cancelled");
  await page.waitForFunction(() => document.querySelectorAll(".ended-row").length === 2);
  await page.reload();
  await ready(page);
  assert.match(await why(page), /Prompt rejected/);
  assert.deepEqual(await page.locator(".ended-prompt").allTextContents(), ["not this one", "fault: gr.Error"]);
  await page.click(".ended-row[data-state=cancelled] .retry");
  await made(page, 1);
  assert.deepEqual(await page.locator(".ended-prompt").allTextContents(), ["fault: gr.Error"]);
  await page.click("#dismiss-all");
  assert.equal(await page.isVisible("#ended"), false);
  await page.click(".toast button");
  assert.equal(await page.locator(".ended-row").count(), 1);
  await page.click("#dismiss-all");
  await page.waitForFunction(async () => (await (await import("/js/store.js")).all("ended")).length === 0);
  await page.reload();
  await ready(page);
  await made(page, 1);
  assert.equal(await page.isVisible("#ended"), false);
  await leave();
});
