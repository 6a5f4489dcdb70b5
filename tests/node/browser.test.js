/** OpenAI's SDK in a browser, in a page of another origin than the server's. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { build } from "esbuild";
import { chromium } from "playwright-core";

import { FLAGS } from "./flags.js";
import { apiKey, baseURL, browser, refusing } from "./server.js";

let pages;
let running;
let page;

before(async () => {
  const entry = {
    contents: "import OpenAI, * as sdk from 'openai'; Object.assign(globalThis, { OpenAI, sdk });",
    resolveDir: import.meta.dirname,
  };
  const {
    outputFiles: [bundle],
  } = await build({ stdin: entry, bundle: true, format: "esm", platform: "browser", write: false });
  pages = createServer((request, answer) => {
    const isScript = request.url === "/openai.js";
    answer.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    answer.end(
      isScript ? bundle.contents : '<!doctype html><title>Chat</title><script type="module" src="/openai.js"></script>',
    );
  }).listen(0, "127.0.0.1");
  await once(pages, "listening");
  running = await chromium.launch({ executablePath: browser(), headless: true, args: FLAGS });
  page = await running.newPage();
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await page.waitForFunction(() => globalThis.OpenAI);
});

after(async () => {
  await running?.close();
  pages?.close();
});

/** Runs a function in the page, with a client in it. */
const inPage = (run, options = {}) =>
  page.evaluate(
    ([source, options]) => {
      const client = new OpenAI({ ...options, maxRetries: 0, dangerouslyAllowBrowser: true });
      return new Function(`return ${source}`)()(client);
    },
    [run.toString(), { baseURL, apiKey, ...options }],
  );

test("the browser asks before it calls, and an image comes", async () => {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  const sent = [];
  devtools.on("Network.requestWillBeSent", ({ request }) =>
    sent.push(`${request.method} ${new URL(request.url).pathname}`),
  );
  const made = await inPage(async (client) => {
    const call = client.images.generate({
      model: "z-image-turbo",
      prompt: "a red fox",
      size: "512x256",
      seed: 7,
      steps: 1,
    });
    const { data: answer, response } = await call.withResponse();
    const bytes = Uint8Array.from(atob(answer.data[0].b64_json), (char) => char.charCodeAt(0));
    const { width, height } = await createImageBitmap(new Blob([bytes]));
    const headers = ["x-request-id", "openai-processing-ms"].map((name) => response.headers.get(name));
    return { width, height, seed: answer.data[0].seed, headers, id: answer._request_id };
  });
  assert.deepEqual([made.width, made.height, made.seed], [512, 256, 7]);
  assert.match(made.headers[0], /^req_/);
  assert.match(made.headers[1], /^\d+$/);
  assert.equal(made.id, made.headers[0]);
  assert.deepEqual(sent.sort(), ["OPTIONS /v1/images/generations", "POST /v1/images/generations"]);
});

test("a link is shown in the page", async () => {
  const size = await inPage(async (client) => {
    const { data } = await client.images.generate({
      prompt: "a red fox",
      size: "256x512",
      steps: 1,
      response_format: "url",
    });
    const image = new Image();
    image.src = data[0].url;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  });
  assert.deepEqual(size, [256, 512]);
});

test("a stream comes piece by piece", async () => {
  const seen = await inPage(async (client) => {
    const stream = await client.images.generate({
      model: "z-image-turbo",
      prompt: "a red fox",
      size: "256x256",
      steps: 20,
      stream: true,
      progress: true,
    });
    const seen = [];
    for await (const { type, step } of stream) seen.push({ type, step, at: performance.now() });
    return seen;
  });
  assert.equal(seen.at(-1).type, "image_generation.completed");
  assert.ok(seen.filter(({ step }) => step).length > 2);
  assert.ok(seen.at(-1).at > seen[0].at, "and not all at once");
});

test("an edit with a file", async () => {
  const width = await inPage(async (client) => {
    const canvas = new OffscreenCanvas(64, 64);
    canvas.getContext("2d").fillRect(0, 0, 64, 64);
    const image = new File([await canvas.convertToBlob()], "black.png", { type: "image/png" });
    const { data } = await client.images.edit({ model: "editor", prompt: "make it blue", image });
    const bytes = Uint8Array.from(atob(data[0].b64_json), (char) => char.charCodeAt(0));
    return (await createImageBitmap(new Blob([bytes]))).width;
  });
  assert.equal(width, 64);
});

test("a chat, and the models to choose from", async () => {
  const { ids, text } = await inPage(async (client) => {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    const messages = [{ role: "user", content: "a red fox --steps 1 --size 256x256" }];
    const answer = await client.chat.completions.create({ model: ids[0], messages });
    return { ids, text: answer.choices[0].message.content };
  });
  assert.ok(ids.includes("vendor/z-image"));
  assert.match(text, /^!\[a red fox\]\(http/);
});

test("a response", async () => {
  const image = await inPage(async (client) => {
    const tools = [{ type: "image_generation", size: "512x256", partial_images: 1 }];
    const stream = client.responses.stream({ model: "z-image-turbo", input: "a red fox --steps 1", tools });
    const { output } = await stream.finalResponse();
    const bytes = Uint8Array.from(atob(output[0].result), (char) => char.charCodeAt(0));
    const { width, height } = await createImageBitmap(new Blob([bytes]));
    return [width, height];
  });
  assert.deepEqual(image, [512, 256]);
});

test("a chat as it is written", async () => {
  const text = await inPage(async (client) => {
    const messages = [{ role: "user", content: "a red fox --steps 1 --size 256x256" }];
    const stream = await client.chat.completions.create({ model: "z-image-turbo", messages, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    return text;
  });
  assert.match(text, /^!\[a red fox\]\(http/);
});

test("an error can be read", async () => {
  const failed = (fields, options) =>
    inPage(
      `async (client) => {
      try {
        await client.images.generate(${JSON.stringify({ prompt: "a red fox", ...fields })});
      } catch (error) {
        const { status, code, param, requestID } = error;
        const name = [sdk.BadRequestError, sdk.AuthenticationError].includes(error.constructor);
        return { name, status, code, param, requestID };
      }
    }`,
      options,
    );
  const { requestID, ...bad } = await failed({ size: "huge" });
  assert.deepEqual(bad, { name: true, status: 400, code: "invalid_value", param: "size" });
  assert.match(requestID, /^req_/);
  const { status, code } = await failed({}, { apiKey: "sk-wrong" });
  assert.deepEqual([status, code], [401, "invalid_api_key"]);
});

test("a server that lets other origins in refuses this one", async () => {
  const refused = `${refusing()}/v1`;
  const outside = await fetch(`${refused}/models`, { headers: { authorization: `Bearer ${apiKey}` } });
  assert.equal(outside.status, 200, "it is there, and the key is right");
  const failed = await inPage(
    async (client) => {
      const outcome = (call) =>
        call.then(
          () => "answered",
          (error) => error instanceof sdk.APIConnectionError,
        );
      return [
        await outcome(client.models.list()),
        await outcome(client.images.generate({ prompt: "a red fox", steps: 1 })),
      ];
    },
    { baseURL: refused },
  );
  assert.deepEqual(failed, [true, true]);
});
