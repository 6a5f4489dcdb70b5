/**
 * A browser with the studio in it, and an eye on everything that must not happen: errors in the console, exceptions,
 * violations of the page's policy, calls of other origins, the key where it doesn't belong.
 */

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

import { FLAGS } from "../flags.js";

/**
 * Addresses of the application: in front of real Spaces; of none that answers; open to everybody; and of a Space that
 * may be spent.
 */
export const {
  STUDIO_URL,
  STUDIO_DEAD_URL,
  STUDIO_OPEN_URL,
  STUDIO_SPENT_URL,
  API_KEYS,
  STUDIO_OUTPUT,
  PYTHON,
  CHROMIUM,
} = process.env;
for (const [name, value] of Object.entries({
  STUDIO_URL,
  STUDIO_DEAD_URL,
  STUDIO_OPEN_URL,
  STUDIO_SPENT_URL,
  API_KEYS,
  STUDIO_OUTPUT,
  PYTHON,
  CHROMIUM,
})) {
  assert(value, `${name} must be set: tests/e2e/test_studio.py sets it`);
}

/** A key that nobody has used: what the server remembers of one visitor is no other's. */
const keys = API_KEYS.split(",");
export const newKey = () => keys.shift();

/** Longest wait for what a test wants to see, in milliseconds: on a busy machine too. */
export const LIMIT = 120_000;

/** Starts the browser. */
export const launch = () => chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

/** A page's troubles, and which are expected. */
export class Eye {
  troubles = [];
  /** Statuses that the browser itself complains about in the console. */
  expected = new Set();

  /** @param {string} key the visitor's */
  constructor(key) {
    this.key = key;
  }

  watch(page) {
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const status = Number(/status of (\d+)/.exec(message.text())?.[1]);
      if (message.text() === "Service Worker registration blocked by Playwright") return;
      const isNetwork = message.text().startsWith("Failed to load resource");
      if (isNetwork && (this.expected.has(status) || (Number.isNaN(status) && this.expected.has("offline")))) return;
      this.troubles.push(`console ${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.troubles.push(`exception: ${error.stack}`));
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (
        protocol.startsWith("http") &&
        origin !== new URL(page.url() === "about:blank" ? request.url() : page.url()).origin
      )
        this.troubles.push(`another origin: ${request.url()}`);
      if (request.url().includes(this.key)) this.troubles.push("the key is in a URL");
    });
  }

  check() {
    assert.deepEqual(this.troubles, []);
  }
}

/**
 * A fresh visitor's page.
 * @param {import("playwright-core").Browser} browser
 */
export async function visit(
  browser,
  { url = STUDIO_URL, isOwn = false, key = newKey(), withKey = true, expected = [], ...options } = {},
) {
  const context = await browser.newContext({
    viewport: { width: 1360, height: 860 },
    locale: "en-US",
    acceptDownloads: true,
    // What a worker asks for, a test can't change on its way.
    serviceWorkers: "block",
    ...options,
  });
  await context.addInitScript(
    (key) => {
      if (key) localStorage.setItem("z-image.api-key", key);
      window.violations = [];
      addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
      );
    },
    withKey ? key : null,
  );
  const eye = new Eye(key);
  expected.forEach((one) => eye.expected.add(one));
  context.setDefaultTimeout(LIMIT);
  const page = await context.newPage();
  eye.watch(page);
  await page.goto(url);
  if (withKey && (url === STUDIO_URL || isOwn)) await ready(page);
  const leave = async () => {
    for (const one of context.pages()) {
      assert.deepEqual(await one.evaluate(() => window.violations), [], "violations of the policy");
      const seen = await one.evaluate(
        (key) =>
          document.documentElement.outerHTML.includes(key) ||
          [...document.querySelectorAll("input, textarea")].some(({ value }) => value.includes(key)),
        key,
      );
      assert(!seen, "the key is on the page");
    }
    eye.check();
    await context.close();
  };
  return { context, page, eye, key, leave };
}

/** Waits until the chosen model's controls are there. */
export async function ready(page) {
  await page.waitForSelector("#controls:not([aria-busy])");
  await page.waitForFunction(() => document.querySelector("#connection").dataset.tone === "well");
}

/** Chooses a model and waits for its controls. */
export async function choose(page, model) {
  await page.selectOption("#model", model);
  await page.waitForFunction(() => !document.querySelector("#controls").hasAttribute("aria-busy"));
}

/** Generates, and waits until so many images are in the gallery. */
export async function generate(page, prompt, { count = 1, seed, total = count } = {}) {
  await page.fill("#prompt", prompt);
  await page.fill("#count", String(count));
  await page.locator("#count").blur();
  if (seed !== undefined) await page.fill("#seed", String(seed));
  await page.click("#make");
  await made(page, total);
}

/** Waits until so many images are in the gallery, and nothing is under way. */
export const made = (page, total) =>
  page.waitForFunction(
    (total) =>
      document.querySelectorAll("#grid .picture").length === total && document.querySelectorAll(".batch").length === 0,
    total,
    { timeout: LIMIT },
  );

/** Waits for the row of a job that ended without an image, and returns why it did. */
export async function why(page, state = "failed") {
  await page.waitForSelector(`.ended-row[data-state="${state}"]`);
  return page.textContent(`.ended-row[data-state="${state}"] .ended-why`);
}

/** Waits until `holds` does; `what` is the failure's message. */
export async function until(holds, what) {
  for (const end = Date.now() + LIMIT; !(await holds()); ) {
    assert(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The arguments that a picture of the Spaces of tests/space/shapes.py was made from: they are its first pixels. */
export const argumentsOf = (page, selector = "#viewer-image") =>
  page.evaluate((selector) => {
    const image = document.querySelector(selector);
    const { naturalWidth: width, naturalHeight: height } = image;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const bytes = Uint8Array.from({ length: 4096 }, (_, at) => data[Math.floor(at / 3) * 4 + (at % 3)]);
    const length = new DataView(bytes.buffer).getUint32(0);
    return JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  }, selector);
