// A worker for Cloudflare's runtime that does what the component does for a generation, and nothing else: it looks at
// the key, joins the Space's queue, follows its events, and answers with the image's link as OpenAI would. There is no
// waiting, trying again, history, limit or signature. Its settings are bindings: API_KEY and SPACE.

const MODELS = JSON.stringify({
  object: "list",
  data: [{ id: "z-image-turbo", object: "model", created: 1764028800, owned_by: "Tongyi-MAI" }],
});
const JSON_TYPE = { "content-type": "application/json" };

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (request.headers.get("authorization") !== `Bearer ${env.API_KEY}`) {
      return failure(401, "Incorrect API key provided.");
    }
    if (request.method === "GET" && pathname === "/v1/models") {
      return new Response(MODELS, { headers: JSON_TYPE });
    }
    if (request.method === "POST" && pathname === "/v1/images/generations") {
      return generate(await request.json(), env.SPACE);
    }
    return failure(404, "No such route.");
  },
};

async function generate({ prompt, size = "1024x1024", seed = 42 }, space) {
  const [width, height] = size.split("x").map(Number);
  const session = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
  const joined = await fetch(`${space}/gradio_api/queue/join`, {
    method: "POST",
    headers: JSON_TYPE,
    body: JSON.stringify({ data: [prompt, height, width, 9, seed, false], fn_index: 2, session_hash: session }),
  });
  if (!joined.ok) return failure(502, "The Space refused the job.");
  const { event_id } = await joined.json();
  const events = await fetch(`${space}/gradio_api/queue/data?session_hash=${session}`);
  for await (const message of messages(events.body)) {
    if (message.event_id !== event_id || message.msg !== "process_completed") continue;
    if (!message.success) return failure(502, "The Space failed.");
    const created = Math.floor(Date.now() / 1000);
    const answer = { created, data: [{ url: message.output.data[0].url }] };
    return new Response(JSON.stringify(answer), { headers: JSON_TYPE });
  }
  return failure(502, "The Space's events ended early.");
}

async function* messages(body) {
  let rest = "";
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + piece).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (event.startsWith("data:")) yield JSON.parse(event.slice(5));
    }
  }
}

function failure(status, message) {
  const error = { message, type: "invalid_request_error", param: null, code: null };
  return new Response(JSON.stringify({ error }), { status, headers: JSON_TYPE });
}
