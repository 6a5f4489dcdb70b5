/** The modules that decide something, each by itself, in the browser that runs them. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { launch, PYTHON, visit } from "./browser.js";

let browser;
let visitor;
before(async () => {
  browser = await launch();
  visitor = await visit(browser);
});
after(async () => {
  await visitor.leave();
  await browser.close();
});
const inPage = (work, argument) => visitor.page.evaluate(work, argument);

test("events are read however the stream is cut", async () => {
  const text =
    'data: {"a":1}\n\nevent: x\r\ndata: zwei\r\ndata: 三\r\n\r\n: comment\nid: 7\ndata:last\r\rdata: never ended';
  const read = await inPage(async (text) => {
    const { events } = await import("/js/sse.js");
    const bytes = new TextEncoder().encode(text);
    const all = [];
    for (let size = 1; size <= bytes.length; size++) {
      const pieces = [];
      for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
      const found = [];
      for await (const event of events(
        (async function* () {
          yield* pieces;
        })(),
      ))
        found.push([event.event, event.data, event.id]);
      all.push(JSON.stringify(found));
    }
    return [...new Set(all)];
  }, text);
  assert.deepEqual(read, [
    JSON.stringify([
      ["message", '{"a":1}', ""],
      ["x", "zwei\n三", ""],
      ["message", "last", "7"],
    ]),
  ]);
});

test("parameters are written and read in the web UI's words, whatever is in them", async () => {
  const recipes = [
    { kind: "generation", model: "z", prompt: "a fox", seed: 0, steps: 9, size: "512x512", extras: {} },
    {
      model: "a/b",
      prompt: 'line one\nline two: with, "all" of it',
      negative_prompt: "fog\nhaze",
      seed: 2147483647,
      guidance_scale: 4.5,
      sampler: "DPM++ 2M Karras",
      extras: { "prompt enhance": true, shift: 3.5, style: "a, b: c", list: ["x"] },
    },
    { model: "中", prompt: "水墨画：三枚柿子", seed: 5, aspect_ratio: "16:9", strength: 0.4, extras: {} },
  ];
  const back = await inPage(async (recipes) => {
    const { read, write } = await import("/js/metadata.js");
    return recipes.map((recipe) => read(write(recipe)));
  }, recipes);
  recipes.forEach(({ kind: _, ...recipe }, at) => assert.deepEqual(back[at], recipe));
  const foreign = await inPage(async () => {
    const { read } = await import("/js/metadata.js");
    return [
      read(
        "masterpiece, cat\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 12, Size: 512x768, " +
          "Model hash: abc, Clip skip: 2",
      ),
      read("just: words"),
      read(""),
    ];
  });
  assert.deepEqual(foreign[0], {
    prompt: "masterpiece, cat",
    negative_prompt: "bad",
    steps: 20,
    sampler: "Euler a",
    guidance_scale: 7,
    seed: 12,
    size: "512x768",
    extras: { "Model hash": "abc", "Clip skip": 2 },
  });
  assert.deepEqual(foreign[1], { prompt: "just: words", extras: {} });
  assert.equal(foreign[2], null);
});

test("files that are cut or lie about their lengths hold nothing, and end", async () => {
  const found = await inPage(async () => {
    const { embed, extract } = await import("/js/metadata.js");
    const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 30 });
    canvas.getContext("2d").fillRect(0, 0, 10, 10);
    const wrong = [];
    for (const type of ["image/png", "image/webp", "image/jpeg"]) {
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, type));
      const whole = await embed(blob, { prompt: "猫 x", seed: 1, model: "m", extras: {} });
      const twice = await embed(whole, { prompt: "second", seed: 2, model: "m", extras: {} });
      if ((await extract(whole)).prompt !== "猫 x" || (await extract(twice)).prompt !== "second")
        wrong.push(`${type} isn't read back`);
      if (twice.size > whole.size + 64) wrong.push(`${type} grows`);
      await createImageBitmap(twice).catch(() => wrong.push(`${type} can't be shown`));
      const bytes = new Uint8Array(await whole.arrayBuffer());
      for (let end = 0; end < bytes.length; end += 7) await extract(new Blob([bytes.slice(0, end)]));
      for (let at = 0; at < Math.min(bytes.length, 200); at++) {
        const bent = bytes.slice();
        bent[at] ^= 0xff;
        await extract(new Blob([bent]));
      }
    }
    return wrong;
  });
  assert.deepEqual(found, []);
});

test("what is dismissed, checked and paused is called so, and in Chinese as other programs call it", async () => {
  const said = await inPage(async () => {
    const [{ default: en }, { default: zh }] = [await import("/js/words.en.js"), await import("/js/words.zh.js")];
    const names = ["job.dismiss", "ended.dismissAll", "spaces.known", "breaker.open"];
    const inChinese = ["job.dismiss", "act.vary", "space.probing", "format.own", "key.forget"];
    return { en: names.map((name) => en[name]), zh: inChinese.map((name) => zh[name]) };
  });
  assert.deepEqual(said.en, ["Dismiss", "Dismiss all", "Checked", "Paused after errors."]);
  assert.deepEqual(said.zh, ["移除", "生成 4 张变体", "检测中", "原始格式", "移除密钥"]);
});

test("both languages have the same words, with the same places", async () => {
  const problems = await inPage(async () => {
    const [{ default: en }, { default: zh }] = [await import("/js/words.en.js"), await import("/js/words.zh.js")];
    const places = (text) => (text.match(/\{(\w+)\}/g) ?? []).sort().join();
    const found = [];
    for (const name of Object.keys(en)) {
      if (name.endsWith(".one")) continue;
      if (!(name in zh)) found.push(`${name} is missing in Chinese`);
      else if (
        places(en[name]) !== places(zh[name]) &&
        !name.startsWith("template.") &&
        name !== "prompts.templateHint"
      )
        found.push(`${name} has other places`);
    }
    for (const name of Object.keys(zh))
      if (!(name in en) && !name.startsWith("error.")) found.push(`${name} is missing in English`);
    const sources = await Promise.all(
      [...document.querySelectorAll("link[rel=modulepreload]")].map(async ({ href }) => (await fetch(href)).text()),
    );
    const asked = [
      ...(sources.join("\n") + (await (await fetch("/js/main.js")).text())).matchAll(/\b[tn]\("([\w.-]+)"/g),
    ].map(([, name]) => name);
    const marked = [
      ...document.querySelectorAll("[data-t], [data-t-label], [data-t-placeholder], [data-t-title]"),
    ].flatMap(({ dataset }) => [dataset.t, dataset.tLabel, dataset.tPlaceholder, dataset.tTitle]);
    for (const name of [...asked, ...marked]) if (name && !(name in en)) found.push(`${name} is nowhere`);
    return found;
  });
  assert.deepEqual(problems, []);
});

test("shapes keep their pixels, on the Space's steps and in its range", async () => {
  const { tiles, fits, labels } = await inPage(async () => {
    const { fit, shape, tiles } = await import("/js/capabilities.js");
    const side = { minimum: 256, maximum: 2048, step: 64 };
    return {
      tiles: tiles({ width: side, height: side }, 1024).map(({ name, width, height }) => `${name} ${width}x${height}`),
      fits: [
        fit(4096, 2048, side, side),
        fit(100, 200, side, side),
        fit(1000, 1000, { minimum: 100, maximum: 999, step: 100 }, side),
      ],
      labels: ["1248x832 ( 3:2 )", "16:9", "Portrait 832×1248", "square", "4/3"].map(shape),
    };
  });
  assert.deepEqual(tiles, [
    "1:1 1024x1024",
    "4:3 1152x896",
    "3:4 896x1152",
    "3:2 1280x832",
    "2:3 832x1280",
    "16:9 1344x768",
    "9:16 768x1344",
    "21:9 1536x640",
  ]);
  assert.deepEqual(fits, [
    { width: 2048, height: 1024 },
    { width: 256, height: 512 },
    { width: 900, height: 1024 },
  ]);
  assert.deepEqual(labels, [
    { width: 1248, height: 832 },
    { ratio: [16, 9] },
    { width: 832, height: 1248 },
    {},
    { ratio: [4, 3] },
  ]);
});

test("every snippet is a program that sends the very request", { timeout: 300_000 }, async () => {
  const seen = [];
  const server = createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      seen.push({
        method: request.method,
        path: request.url,
        key: request.headers.authorization,
        prefer: request.headers.prefer,
        type: request.headers["content-type"],
        body: Buffer.concat(parts).toString(),
      });
      const { host } = request.headers;
      const b64_json = Buffer.from("THE IMAGE").toString("base64");
      const isTask = request.url.startsWith("/v1/tasks/");
      if (request.url === "/file") return response.end("THE IMAGE");
      if (seen.at(-1).body.includes('"stream":true')) {
        response.setHeader("content-type", "text/event-stream");
        for (const [type, b64] of [
          ["partial_image", Buffer.from("A PART").toString("base64")],
          ["completed", b64_json],
        ]) {
          const event = JSON.stringify({ type: `image_generation.${type}`, b64_json: b64 });
          response.write(`event: image_generation.${type}\ndata: ${event}\n\n`);
        }
        return response.end();
      }
      response.setHeader("content-type", "application/json");
      if (request.headers.prefer) return response.end(JSON.stringify({ poll_url: `http://${host}/v1/tasks/1` }));
      const done = isTask && { completed_at: 1, data: [{ url: `http://${host}/file` }] };
      return response.end(JSON.stringify(done || { created: 1, object: "list", data: [{ b64_json }] }));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const folder = await mkdtemp(join(tmpdir(), "snippets-"));
  await writeFile(join(folder, "image-1.png"), "PNG");
  await writeFile(join(folder, "mask.png"), "MASK");
  const json = {
    model: "z",
    prompt: 'it\'s "a" fox\n$HOME `x` \\ 狐',
    n: 1,
    seed: 7,
    size: "512x512",
    steps: 3,
    flag: true,
  };
  const form = [
    ["model", "e"],
    ["prompt", "it's ; type=x <y> @z"],
    ["n", "1"],
    ["seed", "7"],
    ["image", "@image-1.png"],
    ["mask", "@mask.png"],
  ];
  const requests = [
    { method: "POST", path: "/v1/images/generations", json },
    { method: "POST", path: "/v1/images/generations", json, headers: { Prefer: "respond-async" } },
    { method: "POST", path: "/v1/images/generations", json: { ...json, stream: true, output_format: "webp" } },
    { method: "POST", path: "/v1/images/edits", form },
    { method: "GET", path: "/v1/tasks?limit=1" },
    { method: "DELETE", path: "/v1/tasks/task_1" },
  ];
  const run = promisify(execFile);
  const environment = { ...process.env, Z_IMAGE_API_KEY: "sk-placed" };
  for (const request of requests) {
    for (const language of ["curl", "Python", "JavaScript"]) {
      const program = await inPage(
        async ([language, request, origin]) => (await import("/js/snippets.js")).snippet(language, request, origin),
        [language, request, origin],
      );
      assert(!program.includes(visitor.key));
      seen.length = 0;
      const file = join(folder, request.json?.output_format === "webp" ? "image.webp" : "image.png");
      await rm(file, { force: true });
      const [command, ...options] = {
        curl: ["bash", "-c", program],
        Python: [PYTHON, "-c", program],
        JavaScript: ["node", "--input-type=module", "-e", program],
      }[language];
      await run(command, options, { cwd: folder, env: environment }).catch((error) =>
        assert.fail(`${language}: ${error.message}\n${program}`),
      );
      const [{ method, path, key, prefer, type, body }] = seen;
      assert.deepEqual(
        [method, path, key, prefer],
        [request.method, request.path, "Bearer sk-placed", request.headers?.Prefer],
        language,
      );
      if (method === "POST") assert.equal(await readFile(file, "utf8"), "THE IMAGE", `${language}: a file\n${program}`);
      if (request.json) assert.deepEqual(JSON.parse(body), request.json, language);
      if (request.form) {
        assert.match(type, /^multipart\/form-data/);
        for (const [name, value] of request.form) {
          assert(body.includes(`name="${name}"`), `${language}: ${name}`);
          assert(
            body.includes(value.startsWith("@") ? { "@image-1.png": "PNG", "@mask.png": "MASK" }[value] : value),
            `${language}: ${value}`,
          );
        }
      }
    }
  }
  server.close();
});

test("a template takes the subject's place", async () => {
  const filled = await inPage(async () => {
    const { filled } = await import("/js/prompts.js");
    return [
      filled("Photo of {subject}, {subject}", "a $& fox"),
      filled("{主题}，水墨", "柿子"),
      filled("oil on canvas", "a fox"),
      filled("Photo of {subject}", ""),
    ];
  });
  assert.deepEqual(filled, ["Photo of a $& fox, a $& fox", "柿子，水墨", "a fox, oil on canvas", "Photo of …"]);
});

test("an image is asked for at the page's own address, whatever address its link names", async () => {
  const asked = await inPage(async () => {
    const { here } = await import("/js/api.js");
    const path = "/v1/images/files/token.png";
    return [path, `https://elsewhere.example${path}`, `${location.origin.replace("http", "https")}${path}?x=1`].map(
      here,
    );
  });
  assert.deepEqual(asked, [
    "/v1/images/files/token.png",
    "/v1/images/files/token.png",
    "/v1/images/files/token.png?x=1",
  ]);
});
