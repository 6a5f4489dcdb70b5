import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generate, launch, ready, visit } from "./browser.js";

/** The application before the Space of tests/e2e/talker.py, whose every word is an attempt at the page. */
const { STUDIO_HOSTILE_URL } = process.env;
assert(STUDIO_HOSTILE_URL, "STUDIO_HOSTILE_URL must be set: tests/e2e/test_studio.py sets it");

const ATTEMPT = `<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'"\`\${window.hurt=1}\``;

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** Holds that nothing of a text has become an element, or has run. */
async function unhurt(page) {
  assert.equal(await page.evaluate(() => window.hurt), undefined);
  assert.equal(await page.locator('img[src="x"], script:not([src]), [onerror]').count(), 0);
}

test("no word of a Space becomes a part of the page", async () => {
  const { page, leave } = await visit(browser, {
    url: STUDIO_HOSTILE_URL,
    withKey: false,
    expected: [400, 422, 502, 503],
  });
  await ready(page);
  await page.waitForSelector('#negative[placeholder*="<img src=x"]');
  await page.locator("#own-fields label", { hasText: "window.hurt=1" }).waitFor({ state: "attached" });
  await unhurt(page);
  for (const [before, where] of ["raised", "shown"].entries()) {
    await page.fill("#prompt", where);
    await page.click("#make");
    await page.locator(".ended-row[data-state=failed]").nth(before).waitFor();
    await unhurt(page);
  }
  await page.click('.tabs [data-view="spaces"]');
  await page.waitForFunction(() => document.querySelectorAll("#spaces-list li").length > 0);
  await unhurt(page);
  await leave();
});

test("no word of a prompt becomes a part of the page", async () => {
  const { page, leave } = await visit(browser);
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, ATTEMPT);
  await unhurt(page);
  await page.click("#grid .picture");
  await page.waitForFunction(() => document.querySelector("#viewer-image").src.startsWith("blob:"));
  assert((await page.textContent("#viewer")).includes(ATTEMPT), "it is shown as it was written");
  await unhurt(page);
  await page.click("#viewer-close");
  await leave();
});
