import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { argumentsOf, choose, generate, launch, made, ready, STUDIO_URL, until, visit } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** The server's answer to somebody else with the same key. */
const ask = async (key, path) =>
  (await fetch(new URL(path, STUDIO_URL), { headers: { Authorization: `Bearer ${key}` } })).json();

const start = async (page, prompt, count, steps) => {
  await page.fill(".readout[aria-label=Steps]", String(steps));
  await page.fill("#prompt", prompt);
  await page.fill("#count", String(count));
  await page.fill("#seed", "50");
  await page.click("#make");
};

test("images go on when the page is closed, and are there on return", async () => {
  const { page, context, eye, leave } = await visit(browser);
  assert(await page.isChecked("#background"));
  await start(page, "while away", 6, 20);
  await page.waitForFunction(() => /Step/.test(document.querySelector("#batches").textContent));
  await page.close();
  const again = await context.newPage();
  eye.watch(again);
  await again.goto(STUDIO_URL);
  await ready(again);
  await made(again, 6);
  await again.waitForFunction(() => document.querySelectorAll("#grid .badge").length === 0);
  assert.deepEqual((await again.locator("#grid .picture-seed").allTextContents()).sort(), [
    "50",
    "51",
    "52",
    "53",
    "54",
    "55",
  ]);
  // Once more: nothing is left over, and nothing is twice.
  await again.reload();
  await ready(again);
  await made(again, 6);
  await leave();
});

test("a cancelled image is cancelled at the server", async () => {
  const { page, key, leave } = await visit(browser);
  await start(page, "never mind", 2, 20);
  await page.waitForFunction(() => document.querySelectorAll('.job[data-state="running"]').length > 0);
  await page.click(".cancel-all");
  await made(page, 0);
  await until(async () => {
    const { data } = await ask(key, "/v1/tasks");
    assert.equal(data.length, 2);
    return data.every(({ status }) => status === "cancelled");
  }, "both are cancelled");
  await leave();
});

test("more images than connections are all followed to their end", { timeout: 300_000 }, async () => {
  const { page, leave } = await visit(browser);
  await start(page, "many", 8, 20);
  // What else is asked meanwhile is answered.
  await page.click('.tabs [data-view="spaces"]');
  await page.waitForSelector("#spaces-list li");
  assert(await page.evaluate(() => document.querySelectorAll("#grid .picture").length < 8), "before all are made");
  await page.click('.tabs [data-view="gallery"]');
  await made(page, 8);
  assert.equal(new Set(await page.locator("#grid .picture-seed").allTextContents()).size, 8);
  await leave();
});

test("what is kept going is the visitor's choice, and it is remembered", async () => {
  const { page, key, leave } = await visit(browser);
  await page.uncheck("#background", { force: true });
  await page.reload();
  await ready(page);
  assert.equal(await page.isChecked("#background"), false);
  await start(page, "here and now", 1, 20);
  await page.waitForSelector('.job[data-state="running"]');
  // Leaving would end it: the browser asks.
  const asked = new Promise((resolve) =>
    page.once("dialog", (dialog) => dialog.dismiss().then(() => resolve(dialog.type()))),
  );
  await page.evaluate(() => setTimeout(() => location.reload()));
  assert.equal(await asked, "beforeunload");
  await made(page, 1);
  assert.deepEqual((await ask(key, "/v1/tasks")).data, []);
  await leave();
});

test("a model that shows images in the making is watched, unless it is to go on in the background", async () => {
  const { page, key, leave } = await visit(browser);
  await choose(page, "generator");
  assert.equal(await page.isChecked("#background"), false);
  assert.match(await page.textContent("#background-hint"), /while they are made/);
  await page.check("#background", { force: true });
  await generate(page, "unseen", { seed: 3 });
  assert.equal((await ask(key, "/v1/tasks")).data.length, 1);
  await choose(page, "z-image-turbo");
  await choose(page, "generator");
  assert(await page.isChecked("#background"));
  await leave();
});

test("an edit goes on in the background too, and is compared with what it was on return", async () => {
  const { page, key, context, eye, leave } = await visit(browser);
  await choose(page, "editor");
  const png = await page.screenshot({ clip: { x: 0, y: 0, width: 300, height: 200 } });
  await page.setInputFiles("#input-file", { name: "in.png", mimeType: "image/png", buffer: png });
  await page.fill("#prompt", "make it night");
  await page.fill("#seed", "8");
  // Closed before the server's answer is there: whether it was heard, the page can't know.
  await Promise.all([
    page.waitForRequest((request) => request.url().endsWith("/v1/images/edits")),
    page.click("#make"),
  ]);
  await page.close();
  const again = await context.newPage();
  eye.watch(again);
  await again.goto(STUDIO_URL);
  await ready(again);
  await made(again, 1);
  // The server's history may have it before the task has brought it to the device, with what it was.
  await again.waitForFunction(() => {
    const badges = [...document.querySelectorAll("#grid .badge")];
    return badges.every((badge) => badge.textContent !== "server");
  });
  assert.equal((await ask(key, "/v1/tasks")).data.length, 1, "it was made once");
  await again.click("#grid .picture");
  await again.waitForSelector("#compare:not([hidden])");
  const { prompt, seed } = await argumentsOf(again);
  assert.deepEqual([prompt, seed], ["make it night", 8]);
  await leave();
});

test("another device sees what the server remembers, and deletes it for both", async () => {
  const { page, key, leave } = await visit(browser);
  await start(page, "on this device", 2, 1);
  await made(page, 2);
  const other = await visit(browser, { key });
  await made(other.page, 2);
  assert.deepEqual(await other.page.locator("#grid .badge").allTextContents(), ["server", "server"]);
  await other.page.click("#grid .picture");
  await other.page.waitForFunction(
    () =>
      document.querySelector("#viewer-image").src.startsWith("blob:") &&
      document.querySelector("#viewer-image").naturalWidth === 1024,
  );
  assert.match(await other.page.textContent("#viewer-facts"), /Steps\s*1/);
  await other.page.keyboard.press("Delete");
  await other.page.waitForFunction(() => document.querySelector("#viewer-place").textContent === "1 / 1");
  await until(async () => (await ask(key, "/v1/images")).data.length <= 1, "it is gone at the server");
  await other.leave();
  // Here it is still on the device, as one image each.
  await page.reload();
  await ready(page);
  await made(page, 2);
  // Deleted here, it doesn't come back from the server.
  await page.click("#choose");
  await page.click("#choose-all");
  await page.click("#delete-chosen");
  await page.waitForSelector("#empty:not([hidden])");
  await until(async () => (await ask(key, "/v1/images")).data.length === 0, "they are gone at the server");
  await page.reload();
  await ready(page);
  await page.waitForLoadState("networkidle");
  assert.equal(await page.locator("#grid .picture").count(), 0);
  await leave();
});
