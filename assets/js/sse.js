// @ts-check
/**
 * Server-sent events over `fetch` (WHATWG HTML, "Parsing an event stream"): `EventSource` can send no key and no body.
 */

/**
 * The events of a text that comes in pieces.
 * @param {AsyncIterable<Uint8Array>|ReadableStream<Uint8Array>} body
 * @yields {{event: string, data: string, id: string}}
 */
export async function* events(body) {
  let event = "";
  let data = [];
  let id = "";
  for await (const line of lines(body)) {
    if (line === "") {
      if (data.length > 0) yield { event: event || "message", data: data.join("\n"), id };
      event = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "event") event = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) id = value;
  }
}

/** The lines of a text that comes in pieces; they end with CR, LF or both. What has no end isn't one. */
async function* lines(body) {
  const decoder = new TextDecoder();
  // An image is one line of megabytes: its pieces are looked at once, and joined once.
  let held = [];
  let afterCr = false;
  for await (const piece of pieces(body)) {
    let text = decoder.decode(piece, { stream: true });
    if (afterCr && text.startsWith("\n")) text = text.slice(1);
    if (text === "") continue;
    afterCr = text.endsWith("\r");
    const [first, ...others] = text.split(/\r\n|\r|\n/);
    held.push(first);
    if (others.length === 0) continue;
    yield held.join("");
    held = [others.pop()];
    yield* others;
  }
}

/** A stream's pieces. Not every browser's `ReadableStream` can be iterated. */
async function* pieces(body) {
  if (!body.getReader) {
    yield* body;
    return;
  }
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
