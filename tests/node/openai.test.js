/** OpenAI's own SDK for Node. */

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI, {
  APIConnectionError,
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
  toFile,
  UnprocessableEntityError,
} from "openai";

import { argumentsOf, opened, plain, seedOf } from "./pictures.js";
import { apiKey, baseURL, counting, fetched, links, origin } from "./server.js";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
/** Fields that the test Space takes beside OpenAI's parameters. */
const quick = { model: "z-image-turbo", prompt: "a red fox", steps: 1, output_format: "png" };
const red = () => toFile(plain([255, 0, 0]), "red.png", { type: "image/png" });
const blue = () => toFile(plain([0, 0, 255]), "blue.png", { type: "image/png" });
const said = (content) => [{ role: "user", content }];
const tool = (fields) => ({ type: "image_generation", output_format: "png", ...fields });

async function all(events) {
  const seen = [];
  for await (const event of events) seen.push(event);
  return seen;
}

test("images have the size and the seeds that were asked for", async () => {
  const { data, usage, created, _request_id } = await client.images.generate({
    ...quick,
    n: 2,
    size: "512x256",
    seed: 7,
  });
  const images = data.map((item) => opened(item.b64_json));
  assert.deepEqual(
    images.map(({ width, height }) => [width, height]),
    [
      [512, 256],
      [512, 256],
    ],
  );
  assert.deepEqual(images.map(seedOf), [7, 8]);
  assert.deepEqual(
    data.map(({ seed }) => seed),
    [7, 8],
  );
  assert.equal(usage.output_tokens, 2);
  assert.ok(Math.abs(created - Date.now() / 1000) < 60);
  assert.match(_request_id, /^req_/);
});

test("links are fetched without a key", async () => {
  const { data } = await client.images.generate({ ...quick, size: "256x256", seed: 3, response_format: "url" });
  assert.ok(data[0].url.startsWith(`${origin}/v1/images/files/`));
  assert.equal(seedOf(opened(await fetched(data[0].url))), 3);
});

test("a stream shows the image in the making", async () => {
  const fields = { model: "generator", prompt: "a fox", stream: true, partial_images: 2, seed: 7, steps: 6 };
  const seen = await all(await client.images.generate(fields));
  const [last, ...partials] = [...seen].reverse();
  assert.equal(last.type, "image_generation.completed");
  // One that would come after the image itself is left out.
  assert.ok(partials.length === 1 || partials.length === 2, `${partials.length} images in the making`);
  assert.ok(partials.every(({ type }) => type === "image_generation.partial_image"));
  assert.equal(new Set(partials.map((event) => event.partial_image_index)).size, partials.length);
  for (const event of seen) assert.ok(Buffer.from(event.b64_json, "base64").length > 100);
  assert.deepEqual([last.size, last.seed, last.usage.output_tokens], ["256x256", 7, 1]);
});

test("a stream of several images says which is which", async () => {
  const seen = await all(await client.images.generate({ ...quick, size: "256x256", n: 3, seed: 40, stream: true }));
  assert.deepEqual(new Map(seen.map((event) => [event.image_index, seedOf(opened(event.b64_json))])).size, 3);
  for (const event of seen) assert.equal(seedOf(opened(event.b64_json)), 40 + event.image_index);
});

test("progress is told to those who ask", async () => {
  const fields = { ...quick, size: "256x256", steps: 4, stream: true };
  const sent = await all(await client.images.generate({ ...fields, progress: true }));
  const steps = sent.filter(({ type, step }) => type === "image_generation.progress" && step).map(({ step }) => step);
  // Gradio leaves some out when it is busy.
  assert.ok(
    steps.length > 1 && steps.at(-1) === 4 && steps.every((step, at) => at === 0 || step > steps[at - 1]),
    steps.join(),
  );
  assert.deepEqual(
    (await all(await client.images.generate(fields))).map(({ type }) => type),
    ["image_generation.completed"],
  );
});

test("an image is edited, under a mask too", async () => {
  const fields = { model: "editor", prompt: "make it blue", output_format: "png", seed: 5 };
  const plainly = await client.images.edit({ ...fields, image: await red() });
  const made = argumentsOf(opened(plainly.data[0].b64_json));
  assert.deepEqual([made.prompt, made.image, made.mask, made.seed], ["make it blue", [255, 0, 0], null, 5]);
  assert.equal(plainly.usage.input_tokens_details.image_tokens, 1);
  const masked = await client.images.edit({ ...fields, image: await red(), mask: await blue(), n: 2 });
  const masks = masked.data.map((item) => argumentsOf(opened(item.b64_json)));
  assert.deepEqual(
    masks.map(({ image, mask, seed }) => [image, mask, seed]),
    [
      [[255, 0, 0], [0, 0, 255], 5],
      [[255, 0, 0], [0, 0, 255], 6],
    ],
  );
});

test("several images become one", async () => {
  const image = [await red(), await blue()];
  const { data } = await client.images.edit({ model: "several", prompt: "both", image, output_format: "png" });
  assert.deepEqual(argumentsOf(opened(data[0].b64_json)).images, [
    [255, 0, 0],
    [0, 0, 255],
  ]);
});

test("an edit is streamed", async () => {
  const fields = { model: "editor", prompt: "blue", output_format: "png", stream: true, seed: 3 };
  const [event, ...more] = await all(await client.images.edit({ ...fields, image: await red() }));
  assert.deepEqual([event.type, event.seed, more], ["image_edit.completed", 3, []]);
  assert.deepEqual(argumentsOf(opened(event.b64_json)).image, [255, 0, 0]);
});

test("errors have their class, and say what is wrong", async () => {
  const failing = (fields, more) => client.withOptions(more ?? {}).images.generate({ ...quick, ...fields });
  await assert.rejects(failing({ size: "huge" }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.deepEqual([error.status, error.param, error.type], [400, "size", "invalid_request_error"]);
    assert.match(error.requestID, /^req_/);
    return /WIDTHxHEIGHT/.test(error.message);
  });
  await assert.rejects(
    failing({}, { apiKey: "sk-wrong" }),
    (error) => error instanceof AuthenticationError && error.code === "invalid_api_key",
  );
  await assert.rejects(
    failing({ model: "nothing" }),
    (error) => error instanceof NotFoundError && error.code === "model_not_found",
  );
  await assert.rejects(
    failing({ model: "tired", prompt: "fault: quota" }),
    (error) => error instanceof RateLimitError && error.code === "insufficient_quota",
  );
  await assert.rejects(
    failing({ prompt: "fault: gr.Error" }),
    (error) => error instanceof BadRequestError && /Prompt rejected/.test(error.message),
  );
});

test("only what another try can mend is tried again", async () => {
  for (const [fields, calls, kind] of [
    [{ prompt: "fault: exception" }, 1, UnprocessableEntityError],
    [{ model: "tired", prompt: "fault: quota" }, 1, RateLimitError],
    [{ prompt: "fault: no image" }, 1, UnprocessableEntityError],
    [{ model: "down" }, 3, InternalServerError],
  ]) {
    const counted = counting();
    const trying = new OpenAI({ baseURL, apiKey, fetch: counted, maxRetries: 2 });
    await assert.rejects(trying.images.generate({ ...quick, ...fields }), kind);
    assert.equal(counted.calls, calls, JSON.stringify(fields));
  }
});

test("an error in the middle of a stream is raised", async () => {
  const stream = await client.images.generate({ ...quick, prompt: "fault: gr.Error", stream: true });
  await assert.rejects(all(stream), (error) => {
    assert.ok(error instanceof APIError && !(error instanceof APIConnectionError));
    return error.code === "rejected_by_space" && /Prompt rejected/.test(error.message);
  });
});

test("a stream can be left", async () => {
  const fields = { model: "liar", prompt: "heartbeat", stream: true, progress: true };
  const stream = await client.images.generate(fields);
  const seen = [];
  for await (const event of stream) {
    seen.push(event.type);
    stream.controller.abort();
  }
  assert.deepEqual(seen, ["image_generation.progress"], "the SDK ends without an error");
});

test("models are listed and found, also by names with slashes", async () => {
  const models = await all(client.models.list());
  assert.ok(models.some(({ id, object }) => id === "vendor/z-image" && object === "model"));
  assert.equal((await client.models.retrieve("vendor/z-image")).id, "vendor/z-image");
  await assert.rejects(client.models.retrieve("vendor/nothing"), NotFoundError);
});

test("a chat answers with a link to its image", async () => {
  const messages = said("a red fox --seed 7 --size 512x256 --steps 1 --format png");
  const answer = await client.chat.completions.create({ model: "z-image-turbo", messages });
  const [url, ...more] = links(answer.choices[0].message.content);
  assert.deepEqual([more, answer.choices[0].finish_reason, answer.usage.completion_tokens], [[], "stop", 1]);
  const image = opened(await fetched(url));
  assert.deepEqual([image.width, image.height, seedOf(image)], [512, 256, 7]);
});

test("a chat is streamed, with its usage", async () => {
  const stream = await client.chat.completions.create({
    model: "z-image-turbo",
    messages: said("a red fox --seed 7 --steps 3 --size 256x256"),
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = await all(stream);
  const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta));
  assert.equal(deltas[0].role, "assistant");
  assert.match(deltas.map((delta) => delta.reasoning_content ?? "").join(""), /Step 3 of 3/);
  assert.equal(deltas.filter(({ content }) => links(content ?? "").length === 1).length, 1, "in one piece");
  assert.equal(chunks.at(-1).usage.completion_tokens, 1);
  const helped = client.chat.completions.stream({
    model: "z-image-turbo",
    messages: said("a red fox --steps 1 --size 256x256"),
  });
  assert.equal(links(await helped.finalContent()).length, 1);
});

test("an image in a chat is edited, and the one made of it again", async () => {
  const picture = `data:image/png;base64,${plain([255, 0, 0]).toString("base64")}`;
  const messages = said([
    { type: "text", text: "blue --seed 1" },
    { type: "image_url", image_url: { url: picture } },
  ]);
  const chat = async () => (await client.chat.completions.create({ model: "editor", messages })).choices[0].message;
  const answer = await chat();
  const first = opened(await fetched(links(answer.content)[0]));
  assert.deepEqual(argumentsOf(first).image, [255, 0, 0]);
  messages.push(answer, ...said("green --edit"));
  const second = opened(await fetched(links((await chat()).content)[0]));
  assert.deepEqual(argumentsOf(second).image, [...first.pixels.subarray(0, 3)]);
});

test("a response holds the image, and the next one goes on from it", async () => {
  const input = [
    {
      role: "user",
      content: [
        { type: "input_text", text: "blue --seed 1" },
        {
          type: "input_image",
          detail: "auto",
          image_url: `data:image/png;base64,${plain([255, 0, 0]).toString("base64")}`,
        },
      ],
    },
  ];
  const first = await client.responses.create({ model: "editor", input, tools: [tool()] });
  assert.deepEqual([first.status, first.output.map(({ type }) => type)], ["completed", ["image_generation_call"]]);
  const image = opened(first.output[0].result);
  assert.deepEqual(argumentsOf(image).image, [255, 0, 0]);
  const next = await client.responses.create({
    model: "editor",
    input: "green",
    previous_response_id: first.id,
    tools: [tool()],
  });
  assert.deepEqual(argumentsOf(opened(next.output[0].result)).image, [...image.pixels.subarray(0, 3)]);
  await assert.rejects(
    client.responses.create({ model: "editor", input: "x", previous_response_id: "resp_no" }),
    (error) => error instanceof BadRequestError && error.code === "previous_response_not_found",
  );
});

test("a response is streamed through the SDK's own accumulator", async () => {
  const stream = client.responses.stream({
    model: "generator",
    input: "a fox --seed 4 --steps 6",
    tools: [{ type: "image_generation", partial_images: 2 }],
  });
  const seen = await all(stream);
  assert.deepEqual(
    seen.map(({ sequence_number }) => sequence_number),
    seen.map((_, place) => place),
  );
  assert.deepEqual([seen[0].type, seen.at(-1).type], ["response.created", "response.completed"]);
  const partial = seen.filter(({ type }) => type === "response.image_generation_call.partial_image");
  assert.deepEqual(
    partial.map((event) => event.partial_image_index),
    [0, 1],
  );
  const { output } = await stream.finalResponse();
  assert.ok(Buffer.from(output[0].result, "base64").length > 100);
});
