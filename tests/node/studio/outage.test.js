/** A model all of whose Spaces rest. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, STUDIO_SPENT_URL, visit, why } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("an outage is told with what rests, why and until when, and can be waited for", async () => {
  const { page, key, leave } = await visit(browser, { url: STUDIO_SPENT_URL, isOwn: true, expected: [429, 503] });
  await page.fill("#prompt", "fault: quota");
  await page.click("#make");
  await why(page);
  await page.waitForSelector("#banner:not([hidden])");
  const banner = await page.textContent("#banner");
  assert.match(banner, /No Space of this model.*127\.0\.0\.1:\d+: .+, until \d\d:\d\d:\d\d/s);
  assert.match(await page.textContent("#connection"), /No Space/);
  // One truth, wherever it is asked for.
  const ask = async (path) =>
    (await fetch(new URL(path, STUDIO_SPENT_URL), { headers: { Authorization: `Bearer ${key}` } })).json();
  const [details, { data }] = [await ask("/v1/models/z-image-turbo"), await ask("/v1/spaces")];
  assert.equal(data[0].state, "cooling_down");
  assert.deepEqual([details.spaces[0].state, details.spaces[0].until], [data[0].breaker.reason, data[0].breaker.until]);
  await page.click('.tabs [data-view="spaces"]');
  await page.waitForFunction(() => /paused after errors/.test(document.querySelector("#spaces-list")?.textContent));
  // It is held in the page until then.
  await page.fill("#prompt", "when it is back");
  let posted = 0;
  page.on("request", (request) => (posted += Number(request.method() === "POST")));
  await page.click("#banner .wait");
  await page.waitForFunction(() =>
    /about \d/.test(document.querySelector(".job[data-state=held] .job-facts")?.textContent),
  );
  assert.equal(posted, 0);
  await page.click(".cancel-all");
  await why(page, "cancelled");
  // In Chinese, no word of it is English.
  await page.click("#language");
  const chinese = (await page.textContent("#banner p")).replace(/Space|GPU|http:\/\/127\.0\.0\.1:\d+/g, "");
  assert.match(chinese, /配额.*至 \d\d:\d\d:\d\d/);
  assert.doesNotMatch(chinese, /[a-z]{2}/i);
  // When the server says that it is over, the page does.
  await page.route("**/v1/models/z-image-turbo", async (route) => {
    const spaces = details.spaces.map(({ until: _, ...space }) => ({ ...space, state: "ready" }));
    await route.fulfill({ json: { ...details, spaces } });
  });
  await page.waitForSelector("#banner[hidden]", { state: "attached" });
  await leave();
});

test("what is held until a Space is back is sent then", async () => {
  const { page, leave } = await visit(browser);
  let until = 0;
  await page.route("**/v1/models/z-image-turbo", async (route) => {
    const answer = await route.fetch();
    const details = await answer.json();
    const rests = Date.now() / 1000 < until;
    const spaces = details.spaces.map((space) => (rests ? { ...space, state: "space_paused", until } : space));
    await route.fulfill({ json: { ...details, spaces } });
  });
  until = Math.ceil(Date.now() / 1000) + 4;
  await page.selectOption("#model", "sdxl");
  await page.selectOption("#model", "z-image-turbo");
  await page.fill(".readout[aria-label=Steps]", "1");
  await page.fill("#prompt", "back again");
  await page.click("#banner .wait");
  await page.waitForSelector("#grid .picture");
  assert(Date.now() / 1000 >= until, "not before");
  await page.waitForSelector("#banner[hidden]", { state: "attached" });
  await leave();
});
