/**
 * The pictures in docs/studio, of the studio at work. Run by tests/e2e/screenshots.py, which has started everything.
 */

import { join } from "node:path";
import { choose, launch, ready, visit } from "./browser.js";

const browser = await launch();
const shoot = async (page, name) => {
  await page.mouse.move(700, 4);
  await page.waitForTimeout(150);
  await page.screenshot({ path: join(process.env.STUDIO_OUTPUT, `${name}.png`) });
};
const settled = (page) =>
  page.waitForFunction(() => document.querySelectorAll(".batch").length === 0, null, { timeout: 120_000 });

/** Makes images of a shape, without waiting for them. */
async function make(page, prompt, shape, count = 1, seed = 1) {
  await page.fill("#prompt", prompt);
  await page.check(`#tiles .tile:has-text("${shape}") input`, { force: true });
  await page.fill("#count", String(count));
  await page.locator("#count").blur();
  await page.fill("#seed", String(seed));
  await page.click("#make");
}

const ENGLISH = [
  ["A lighthouse on a cliff at dusk, long exposure, waves like mist", "16:9", 1],
  ["Still life of three persimmons on rice paper, ink and wash", "3:4", 2],
  ["Cutaway drawing of a tiny teahouse, isometric, warm lamps", "1:1", 1],
  ["Harbour at night, screen print, three inks", "3:2", 2],
  ["A red fox asleep in fresh snow, early light", "4:3", 1],
  ["Market street after rain, reflections", "9:16", 2],
];
const CHINESE = [
  ["黄昏悬崖上的灯塔，长曝光，海浪如雾", "16:9", 1],
  ["宣纸上的三枚柿子，水墨静物", "3:4", 2],
  ["小茶馆剖面图，等轴测视角，暖色灯光", "1:1", 1],
  ["雨后的集市，倒影", "3:2", 2],
];

/** Fills the gallery. */
async function fill(page, prompts) {
  await page.fill(".readout", "3");
  let seed = 11;
  for (const [prompt, shape, count] of prompts) {
    seed += 7;
    await make(page, prompt, shape, count, seed);
    await settled(page);
  }
  await page.fill(".readout", "9");
  await page.locator(".readout").blur();
}

/** Begins a batch, and waits until it is in the middle of its work. */
async function midway(page, prompt, shape) {
  await make(page, prompt, shape, 4, 2024);
  await page.waitForFunction(
    () =>
      document.querySelectorAll('.job[data-state="succeeded"]').length === 2 &&
      document.querySelectorAll('.job[data-state="running"] .job-bar[value]').length > 0,
    null,
    { timeout: 60_000 },
  );
  await page.waitForTimeout(700);
}

const desk = { viewport: { width: 1440, height: 900 } };

{
  const { page, leave } = await visit(browser, desk);
  await fill(page, ENGLISH);
  await midway(page, "Terraced rice fields from above, morning haze, fine lines", "4:3");
  await shoot(page, "desktop");
  await settled(page);
  await page.click('.tabs [data-view="spaces"]');
  await page.waitForSelector("#spaces-list .spark");
  await shoot(page, "spaces");
  await leave();
}
{
  const { page, leave } = await visit(browser, { ...desk, colorScheme: "dark" });
  await fill(page, ENGLISH.slice(0, 4));
  await shoot(page, "dark");
  await page.locator("#grid .picture").nth(3).click();
  await page.waitForFunction(() => document.querySelector("#viewer-image").src.startsWith("blob:"));
  await page.waitForTimeout(400);
  await shoot(page, "viewer");
  await page.click("#viewer-actions >> text=Use as input");
  await choose(page, "editor");
  await page.fill("#prompt", "Make the sky a thunderstorm");
  await page.click("#draw-mask");
  await page.waitForTimeout(300);
  const box = await page.locator("#mask-canvas").boundingBox();
  const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(0.12, 0.2));
  await page.mouse.down();
  for (const [x, y] of [
    [0.35, 0.14],
    [0.6, 0.2],
    [0.85, 0.16],
    [0.8, 0.3],
    [0.5, 0.34],
    [0.2, 0.32],
  ])
    await page.mouse.move(...at(x, y), { steps: 8 });
  await page.mouse.up();
  await page.waitForTimeout(200);
  await shoot(page, "mask");
  await leave();
}
{
  const { page, leave } = await visit(browser, { ...desk, locale: "zh-CN" });
  await fill(page, CHINESE);
  await midway(page, "清晨的梯田俯瞰，薄雾，细线条", "4:3");
  await shoot(page, "chinese");
  await settled(page);
  await leave();
}
{
  const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const { page, leave } = await visit(browser, { ...phone, colorScheme: "dark" });
  await ready(page);
  await page.fill("#prompt", ENGLISH[0][0]);
  await shoot(page, "mobile-form");
  await make(page, ENGLISH[0][0], "3:4", 1, 5);
  await settled(page);
  await page.click('.tabs [data-view="create"]');
  await make(page, ENGLISH[1][0], "3:4", 4, 9);
  await page.waitForFunction(() => document.querySelectorAll('.job[data-state="succeeded"]').length === 2);
  await page.waitForTimeout(700);
  await shoot(page, "mobile-progress");
  await settled(page);
  await page.locator("#grid .picture").first().click();
  await page.waitForTimeout(700);
  await shoot(page, "mobile-viewer");
  await leave();
}
await browser.close();
