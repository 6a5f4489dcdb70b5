// An image from a prompt, with its progress while it is made. It needs no packages.
//
//     BASE_URL=http://127.0.0.1:3000/v1 API_KEY=sk-… node stream.mjs "a red fox in the snow" fox.webp

import { writeFile } from "node:fs/promises";

const { BASE_URL, API_KEY } = process.env;
const [prompt = "a red fox in the snow", file = "image.webp"] = process.argv.slice(2);

const response = await fetch(`${BASE_URL}/images/generations`, {
  method: "POST",
  headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
  body: JSON.stringify({ prompt, size: "512x512", stream: true, progress: true }),
});
if (!response.ok) {
  console.error((await response.json()).error.message);
  process.exit(1);
}

for await (const event of events(response.body)) {
  if (event.error) {
    console.error(event.error.message);
    process.exit(1);
  }
  if (event.type === "image_generation.progress") {
    console.log(event.step ? `step ${event.step} of ${event.steps}` : event.state);
  }
  if (event.type === "image_generation.completed") {
    await writeFile(file, Buffer.from(event.b64_json, "base64"));
    console.log(`${file}, seed ${event.seed}`);
  }
}

/** The JSON of each server-sent event; comments, which keep the connection alive, are passed over. */
async function* events(body) {
  let text = "";
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const data = text
        .slice(0, end)
        .split("\n")
        .find((line) => line.startsWith("data: "));
      text = text.slice(end + 2);
      if (data && data !== "data: [DONE]") yield JSON.parse(data.slice("data: ".length));
    }
  }
}
