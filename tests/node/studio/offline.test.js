/** The page without a network, after a deployment, and what can be taken back. */

import assert from "node:assert/strict";
import { request as ask, createServer } from "node:http";
import { after, before, test } from "node:test";
import { choose, generate, launch, made, ready, STUDIO_DEAD_URL, STUDIO_URL, visit, why } from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** A way to the server on which words can be changed, as by a deployment, and which can be cut. */
async function way() {
  const state = { words: null, isCut: false };
  const { hostname, port } = new URL(STUDIO_URL);
  const server = createServer((request, response) => {
    if (state.isCut) return request.socket.destroy();
    const headers = { ...request.headers, "accept-encoding": "identity" };
    if (state.words) delete headers["if-none-match"];
    const passed = ask({ hostname, port, path: request.url, method: request.method, headers }, (answer) => {
      if (!state.words || request.url !== "/js/words.en.js") {
        response.writeHead(answer.statusCode, answer.headers);
        return answer.pipe(response);
      }
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const text = Buffer.concat(parts)
          .toString()
          .replace(...state.words);
        const { etag: _, "content-length": __, ...rest } = answer.headers;
        response.writeHead(answer.statusCode, rest);
        response.end(text);
      });
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { state, url: `http://127.0.0.1:${server.address().port}/`, close };
}

test("an offline reload shows the images of the device, and a deployment is seen at once", async () => {
  const { state, url, close } = await way();
  const { page, leave } = await visit(browser, { url, isOwn: true, serviceWorkers: "allow", expected: ["offline"] });
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, "there without a network", { count: 2 });
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  // A new version, while the old one is kept.
  state.words = [/"make.generate": "[^"]*"/, '"make.generate": "Deployed anew"'];
  await page.reload();
  await ready(page);
  assert.equal(await page.textContent("#make-label"), "Deployed anew");
  await made(page, 2);
  // No network at all: the last version, and the images.
  state.isCut = true;
  await page.reload();
  await page.waitForSelector("#banner:not([hidden])");
  assert.match(await page.textContent("#banner"), /can't be reached/);
  await page.waitForFunction(() => {
    const images = [...document.querySelectorAll("#grid .picture img")];
    return images.length === 2 && images.every((image) => image.complete && image.naturalWidth > 0);
  });
  await page.locator("#grid .picture").first().click();
  await page.waitForFunction(() => document.querySelector("#viewer-image").naturalWidth === 1024);
  await page.click("#viewer-close");
  const kept = await page.evaluate(async () => {
    const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
    const keys = (await Promise.all(caches_.map((cache) => cache.keys()))).flat();
    return keys.map(({ url, headers }) => [new URL(url).pathname, headers.has("authorization")]);
  });
  assert(kept.length > 30 && kept.some(([path]) => path === "/"));
  for (const [path, hasKey] of kept) {
    assert.match(path, /^\/(|boot\.js|studio\.css|favicon\.svg|js\/[\w.]+\.js)$/);
    assert(!hasKey);
  }
  // And back: with the version of then.
  state.isCut = false;
  state.words = null;
  await page.reload();
  await ready(page);
  await page.click("#language");
  await page.click("#language");
  assert.equal(await page.textContent("#make-label"), "Generate");
  await leave();
  await close();
});

test("a deletion is taken back, and Escape leaves the selection", async () => {
  const { page, leave } = await visit(browser);
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, "kept after all", { count: 2 });
  await page.click("#choose");
  await page.click("#choose-all");
  await page.click("#delete-chosen");
  await page.waitForSelector("#empty:not([hidden])");
  await page.click(".toast button");
  await made(page, 2);
  await page.click("#choose");
  await page.locator("#grid .picture").first().click();
  await page.keyboard.press("Escape");
  assert.equal(await page.isVisible("#chosen-tools"), false);
  assert.equal(await page.getAttribute("#choose", "aria-pressed"), "false");
  assert(await page.locator("#choose").evaluate((one) => one === document.activeElement));
  await page.reload();
  await ready(page);
  await made(page, 2);
  await leave();
});

test("a page that is closed before a deletion is done leaves it to the next", async () => {
  const { page, context, eye, leave } = await visit(browser);
  await page.fill(".readout[aria-label=Steps]", "1");
  await generate(page, "gone for good");
  await page.click("#grid .picture");
  await page.keyboard.press("Delete");
  await page.waitForFunction(async () => (await (await import("/js/store.js")).all("trash")).length === 1);
  await page.close();
  const next = await context.newPage();
  eye.watch(next);
  await next.goto(STUDIO_URL);
  await ready(next);
  await next.waitForFunction(async () => {
    const { all } = await import("/js/store.js");
    const left = await Promise.all(["images", "blobs", "trash"].map(all));
    return left.every((records) => records.length === 0);
  });
  assert.equal(await next.locator("#grid .picture").count(), 0);
  await leave();
});

test("a phone held sideways shows size and count beside the prompt", async () => {
  for (const viewport of [
    { width: 844, height: 390 },
    { width: 667, height: 375 },
  ]) {
    const { page, leave } = await visit(browser, { viewport, isMobile: true, hasTouch: true });
    for (const model of ["z-image-turbo", "sdxl", "qwen-image"]) {
      await choose(page, model);
      const foot = await page.locator(".composer-foot").boundingBox();
      for (const id of ["#prompt", "#tiles", "#count", "#make"]) {
        const box = await page.locator(id).boundingBox();
        const end = id === "#make" ? viewport.height : foot.y;
        assert(box.y >= 0 && box.y + box.height <= end + 1, `${model}: ${id} is in sight: ${JSON.stringify(box)}`);
      }
      assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider");
    }
    await leave();
  }
});

test("words are those of other programs, in both languages, and an error is in one", async () => {
  for (const [locale, words] of [
    ["en-US", ["Negative prompt", "Random seed", "Original", "Select all", "Remove the key"]],
    ["zh-CN", ["反向提示词", "随机种子", "原始格式", "全选", "移除密钥"]],
  ]) {
    const { page, leave } = await visit(browser, { locale });
    assert.deepEqual(
      await page.evaluate(() => [
        document.querySelector("label[for=negative]").textContent,
        document.querySelector("#dice").getAttribute("aria-label"),
        document.querySelector("#format option").textContent,
        document.querySelector("#choose-all").textContent,
        document.querySelector("#forget-key").textContent,
      ]),
      words,
    );
    await leave();
  }
  const { page, leave } = await visit(browser, { locale: "zh-CN", url: STUDIO_DEAD_URL, expected: [502, 503] });
  await page.waitForSelector("#banner:not([hidden])");
  await page.fill("#prompt", "狐");
  await page.click("#make");
  const said = `${await why(page)} ${await page.textContent("#banner p")}`;
  assert.doesNotMatch(said.replace(/Space|http:\/\/127\.0\.0\.1:\d+/g, ""), /[a-z]{2}/i, said);
  assert.equal(await page.getAttribute(".ended-row .dismiss", "aria-label"), "移除");
  await leave();
});
