import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generate, launch, made, ready, visit } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("the Spaces are listed with what the server tells of them", async () => {
  const { page, leave } = await visit(browser);
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, "a sign of life");
  await page.click('.tabs [data-view="spaces"]');
  await page.waitForFunction(() => document.querySelectorAll("#spaces-list li").length >= 13);
  const used = page.locator("#spaces-list li", { hasText: "z-image-turbo" }).first();
  await used.locator(".spark circle").waitFor();
  const text = await used.textContent();
  for (const words of [/ready|busy/, /Gradio\s*\d+\.\d+.*\/generate_image/, /on average/, /Jobs now\s*\d of \d/])
    assert.match(text, words);
  await leave();
});

/** Spaces in trouble, as a server lists them, which real ones don't get into by themselves in a test. */
const troubled = () => ({
  object: "list",
  data: [
    {
      object: "space",
      id: "owner/well",
      models: ["z-image-turbo"],
      state: "ready",
      in_flight: 1,
      waiting: 0,
      slots: 2,
      latency: { ewma_seconds: 4.2, samples: 12, recent: [4.1, 3.9, 5.5, 4.0] },
      queue: { rank: 0, size: 3, eta_seconds: 3.0 },
      breaker: { state: "closed", failures: 0 },
      successes: 10,
      failures: 1,
      gradio: "6.31.0",
      endpoint: "generate_image",
      capabilities_age: 120,
    },
    {
      object: "space",
      id: "<b>owner</b>/ill",
      models: ["z-image-turbo"],
      state: "cooling_down",
      breaker: {
        state: "open",
        reason: "space_unreachable",
        message: "It <i>is</i> gone.",
        until: Math.floor(Date.now() / 1000) + 42,
        failures: 3,
      },
      last_error: { code: "space_unreachable", message: "It is gone.", at: Math.floor(Date.now() / 1000) - 90 },
    },
    { object: "space", id: "owner/new", models: [], state: "unknown" },
  ],
});

test("a Space's queue, latency and breaker are shown, and its words are text", async () => {
  const { page, leave } = await visit(browser);
  await page.route("**/v1/spaces", (route) => route.fulfill({ json: troubled() }));
  await page.click('.tabs [data-view="spaces"]');
  await page.waitForFunction(() => document.querySelectorAll("#spaces-list li").length === 3);
  const [well, ill, fresh] = await page.locator("#spaces-list li").allTextContents();
  for (const words of [
    "owner/well",
    "ready",
    "1 of 2",
    "3 · 3.0 s",
    "4.2 s on average, 4.0 s last",
    "12 jobs",
    "10, 1 failed",
    "6.31.0 · /generate_image",
    "2 min. ago",
  ])
    assert(well.includes(words), `${words} in ${well}`);
  for (const words of [
    "<b>owner</b>/ill",
    "paused after errors",
    "It <i>is</i> gone.",
    "3 failures in a row",
    "Next try in ",
    "Last error 1 min. ago",
  ])
    assert(ill.includes(words), `${words} in ${ill}`);
  assert(fresh.includes("not yet known"));
  assert.equal(await page.locator("#spaces-list polyline").count(), 1);
  assert.equal(await page.locator("#spaces-list b, #spaces-list i").count(), 0);
  await leave();
});

test("every request is in the log, with its events, and can be copied without the key", async () => {
  const { page, context, key, leave } = await visit(browser);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.fill(".readout[aria-label=Steps]", "2");
  await generate(page, "logged", { seed: 5 });
  await page.click('.tabs [data-view="log"]');
  const first = page.locator("#log-list li").filter({ hasText: "/v1/images/generations" });
  await first.locator("summary").click();
  // The browser tells of an opening a moment later.
  await first.filter({ hasText: '"prompt": "logged"' }).waitFor();
  const text = await first.textContent();
  assert.match(text, /20[02].*POST \/v1\/images\/generations/s);
  assert.match(text, /x-request-id: req_/);
  assert.match(text, /"prompt": "logged"/);
  for (const language of ["curl", "Python", "JavaScript"]) {
    await first.locator(`button:has-text("${language}")`).click();
    await page.waitForFunction(
      (language) =>
        navigator.clipboard
          .readText()
          .then((copied) =>
            copied.includes({ curl: "curl -sS", Python: "import os", JavaScript: "await fetch(" }[language]),
          ),
      language,
    );
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert(copied.includes("Z_IMAGE_API_KEY") && copied.includes("logged") && !copied.includes(key), copied);
  }
  const before = await page.locator("#log-list li").count();
  await page.check("#log-all");
  assert((await page.locator("#log-list li").count()) > before, "the page's own too");
  await page.click("#log-clear");
  assert.match(await page.textContent("#log-note"), /No requests/);
  await leave();
});

test("prompts are remembered, found and used again; templates take the current one in", async () => {
  const { page, leave } = await visit(browser);
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, "three persimmons");
  await generate(page, "a teahouse", { total: 2 });
  await page.reload();
  await ready(page);
  await made(page, 2);
  await page.click("#open-prompts");
  assert.deepEqual(await page.locator(".prompt-item span").allTextContents(), ["a teahouse", "three persimmons"]);
  await page.fill("#prompt-search", "persimm");
  await page.waitForFunction(() => document.querySelectorAll(".prompt-item").length === 1);
  await page.click(".prompt-item");
  assert.equal(await page.inputValue("#prompt"), "three persimmons");
  await page.click("#open-prompts");
  await page.fill("#prompt-search", "");
  await page.check("#kind-templates", { force: true });
  await page.click('.prompt-item:has-text("Watercolour")');
  assert.match(await page.inputValue("#prompt"), /^Loose watercolour of three persimmons,/);
  await page.fill("#prompt", "oil painting of {subject}");
  await page.click("#open-prompts");
  await page.click("#save-template");
  await page.click("#prompts-close");
  await page.fill("#prompt", "a cat");
  await page.reload();
  await ready(page);
  await page.click("#open-prompts");
  await page.check("#kind-templates", { force: true });
  await page.click('.prompt-item:has-text("oil painting")');
  assert.equal(await page.inputValue("#prompt"), "oil painting of a cat");
  await leave();
});
