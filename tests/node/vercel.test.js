/** Vercel's AI SDK, by both of its providers for OpenAI's wire. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateImage, generateText, streamText } from "ai";

import { argumentsOf, opened, plain, seedOf } from "./pictures.js";
import { apiKey, baseURL, counting, fetched, links } from "./server.js";

const openai = createOpenAI({ baseURL, apiKey });
const compatible = createOpenAICompatible({ name: "images", baseURL, apiKey, includeUsage: true });
const shape = (image) => [image.width, image.height];
const read = (file) => opened(file.uint8Array);

test("images by the provider for OpenAI", async () => {
  const { images, usage, warnings } = await generateImage({
    model: openai.image("z-image-turbo"),
    prompt: "a red fox",
    n: 2,
    size: "512x256",
    seed: 7,
    providerOptions: { openai: { quality: "low", outputFormat: "png" } },
  });
  assert.deepEqual(
    images.map((image) => shape(read(image))),
    [
      [512, 256],
      [512, 256],
    ],
  );
  assert.equal(usage.outputTokens, 2);
  assert.ok(
    warnings.some(({ feature }) => feature === "seed"),
    "it sends no seed, and says so",
  );
});

test("images by the provider for compatible servers, with parameters of the Space", async () => {
  const { images } = await generateImage({
    model: compatible.imageModel("z-image-turbo"),
    prompt: "a red fox",
    n: 3,
    size: "256x512",
    providerOptions: { images: { seed: 7, steps: 1, output_format: "png" } },
  });
  assert.deepEqual(
    images.map((image) => shape(read(image))),
    Array(3).fill([256, 512]),
  );
  assert.deepEqual(images.map((image) => seedOf(read(image))).sort(), [7, 8, 9]);
});

test("edits by both", async () => {
  const [red, blue] = [plain([255, 0, 0]), plain([0, 0, 255])];
  for (const [model, providerOptions] of [
    [openai.image("editor"), { openai: { outputFormat: "png" } }],
    [compatible.imageModel("editor"), { images: { output_format: "png" } }],
  ]) {
    const { image } = await generateImage({
      model,
      prompt: { text: "make it blue", images: [red], mask: blue },
      providerOptions,
    });
    const { prompt, image: sent, mask } = argumentsOf(read(image));
    assert.deepEqual([prompt, sent, mask], ["make it blue", [255, 0, 0], [0, 0, 255]], model.provider);
  }
  const { image } = await generateImage({
    model: compatible.imageModel("several"),
    prompt: { text: "both", images: [red, blue] },
    providerOptions: { images: { output_format: "png" } },
  });
  assert.deepEqual(argumentsOf(read(image)).images, [
    [255, 0, 0],
    [0, 0, 255],
  ]);
});

test("a chat", async () => {
  const { text, finishReason, usage } = await generateText({
    model: compatible("z-image-turbo"),
    prompt: "a red fox --seed 7 --size 256x256 --steps 1 --format png",
  });
  assert.equal(seedOf(opened(await fetched(links(text)[0]))), 7);
  assert.deepEqual([finishReason, usage.outputTokens], ["stop", 1]);
});

test("a chat as it is written", async () => {
  const { textStream, reasoningText, usage, finishReason } = streamText({
    model: compatible("z-image-turbo"),
    prompt: "a red fox --size 256x256 --steps 3",
  });
  let text = "";
  for await (const piece of textStream) text += piece;
  assert.equal(links(text).length, 1);
  assert.match(await reasoningText, /Step 3 of 3/);
  assert.deepEqual([await finishReason, (await usage).outputTokens], ["stop", 1]);
});

test("an image in a chat is edited", async () => {
  const { text } = await generateText({
    model: compatible("editor"),
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "make it blue" },
          { type: "file", data: plain([255, 0, 0]), mediaType: "image/png" },
        ],
      },
    ],
  });
  assert.deepEqual(argumentsOf(opened(await fetched(links(text)[0]))).image, [255, 0, 0]);
});

test("the tool of responses", async () => {
  const model = openai.responses("z-image-turbo");
  const tools = { image_generation: openai.tools.imageGeneration({ size: "512x256", outputFormat: "png" }) };
  const whole = await generateText({ model, tools, prompt: "a red fox --seed 7 --steps 1" });
  const [{ output }] = whole.staticToolResults;
  assert.equal(seedOf(opened(output.result)), 7);
  const streamed = streamText({ model, tools, prompt: "a red fox --seed 8 --steps 1" });
  const results = [];
  for await (const part of streamed.fullStream) {
    if (part.type === "tool-result" && !part.preliminary) results.push(part.output.result);
  }
  assert.deepEqual(
    results.map((result) => seedOf(opened(result))),
    [8],
  );
});

test("errors", async () => {
  const failing = (provider, model, size) =>
    generateImage({ model: provider(model), prompt: "a red fox", size, maxRetries: 0 });
  for (const provider of [openai.image, compatible.imageModel]) {
    await assert.rejects(failing(provider, "z-image-turbo", "8x8"), (error) => {
      assert.ok(APICallError.isInstance(error));
      return error.statusCode === 400 && !error.isRetryable && /8x8/.test(error.message);
    });
    await assert.rejects(failing(provider, "nothing", "256x256"), ({ statusCode }) => statusCode === 404);
  }
  // It reads no `x-should-retry`, and takes every 5xx for one that another try may mend.
  const fetch = counting();
  const counted = createOpenAICompatible({ name: "images", baseURL, apiKey, fetch });
  await assert.rejects(
    generateImage({ model: counted.imageModel("z-image-turbo"), prompt: "fault: gr.Error" }),
    /Prompt rejected/,
  );
  assert.equal(fetch.calls, 1, "what a Space refuses is not sent again");
  const crash = generateImage({ model: counted.imageModel("z-image-turbo"), prompt: "fault: exception" });
  await assert.rejects(crash, ({ statusCode, isRetryable }) => statusCode === 422 && !isRetryable);
  assert.equal(fetch.calls, 2, "nor is what crashes it");
});
