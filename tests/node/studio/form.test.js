/** What the form sends is what was typed, once. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, made, visit } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** Counts the requests that make something. */
const countMade = (page) => {
  const counts = { made: 0 };
  page.on("request", (request) => {
    if (request.method() === "POST") counts.made++;
  });
  return counts;
};

test("a double click makes one image", async () => {
  const { page, leave } = await visit(browser);
  const counts = countMade(page);
  await page.fill(".readout[aria-label=Steps]", "1");
  await page.fill("#prompt", "once");
  await page.dblclick("#make");
  await made(page, 1);
  await page.focus("#make");
  await page.keyboard.press("Enter");
  await made(page, 2);
  assert.equal(counts.made, 2);
  await leave();
});

test("a number that can't be used is told, is not sent, and changes no other", async () => {
  const { page, leave } = await visit(browser);
  const counts = countMade(page);
  const type = async (id, value) => {
    await page.fill(id, value);
    await page.locator(id).blur();
  };
  await page.fill("#prompt", "numbers");
  for (const [id, note, wrong, right, words] of [
    ["#seed", "#seed-note", "-5", "7", /A whole number from 0 to 2147483647/],
    ["#seed", "#seed-note", "99999999999", "7", /A whole number from 0 to 2147483647/],
    ["#seed", "#seed-note", "1.5", "7", /A whole number from 0/],
    ["#height", "#size-note", "99999", "512", /A number from \d+ to 2048/],
    ["#width", "#size-note", "1", "512", /A number from \d+ to 2048/],
    ["#count", "#count-note", "99", "1", /A whole number from 1 to 10/],
    [".readout[aria-label=Steps]", "#field-steps-note", "5000", "1", /A number from \d+ to \d+/],
  ]) {
    const others = () =>
      page.evaluate(
        (id) =>
          [...document.querySelectorAll("#controls input:not([type=range])")]
            .filter((one) => !one.matches(id))
            .map(({ value }) => value),
        id,
      );
    const before = await others();
    await type(id, wrong);
    assert.match(await page.textContent(note), words, `${id} ${wrong}`);
    assert.equal(await page.getAttribute(id, "aria-invalid"), "true");
    assert.equal(await page.inputValue(id), wrong);
    assert.deepEqual(await others(), before, "no other number changes");
    await page.click("#make");
    assert.match(await page.textContent("#problem"), /can't be used/);
    assert(await page.locator(id).evaluate((one) => one === document.activeElement), "it is pointed at");
    await type(id, right);
    assert.equal(await page.textContent(note), "", `${id} ${right}`);
    assert.equal(await page.getAttribute(id, "aria-invalid"), null);
  }
  await type("#height", "515");
  assert.match(await page.textContent("#size-note"), /^515 became 512: this Space takes steps of \d+\.$/);
  assert.equal(counts.made, 0);
  await page.click("#make");
  await made(page, 1);
  assert.deepEqual(await page.locator("#grid .picture-seed").allTextContents(), ["7"]);
  await leave();
});

test("what has failed doesn't count as done", async () => {
  const { page, leave } = await visit(browser, { expected: [400, 422, 500, 502] });
  await page.evaluate(() => {
    window.facts = new Set();
    new MutationObserver(() => window.facts.add(document.querySelector(".batch-facts")?.textContent)).observe(
      document.querySelector("#batches"),
      { subtree: true, childList: true, characterData: true },
    );
  });
  await page.fill("#prompt", "fault: gr.Error");
  await page.fill("#count", "2");
  await page.click("#make");
  await page.waitForFunction(() => document.querySelectorAll(".ended-row").length === 2);
  const facts = await page.evaluate(() => [...window.facts].filter(Boolean));
  assert(facts.includes("0 of 2 done, 2 failed"), facts.join("; "));
  assert(
    facts.every((words) => words.startsWith("0 of 2 done")),
    facts.join("; "),
  );
  await leave();
});

test("presets stand apart from the models that they are of", async () => {
  const { page, leave } = await visit(browser);
  const { models, presets } = await page.evaluate(() => ({
    models: [...document.querySelectorAll("#model > option")].map(({ value }) => value),
    presets: [...document.querySelectorAll("#model > optgroup[label=Presets] > option")].map((one) => one.textContent),
  }));
  assert(models.includes("z-image-turbo") && models.includes("editor"), String(models));
  assert(!models.includes("z-image-turbo-2048"), String(models));
  assert(presets.includes("z-image-turbo-2048 (z-image-turbo)"), String(presets));
  await leave();
});
