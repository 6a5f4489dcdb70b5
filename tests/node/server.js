/** Address of the application, from the environment, and the two ways to its images that all tests need. */

import assert from "node:assert/strict";

function named(variable) {
  const value = process.env[variable];
  assert.ok(value, `${variable} must be set; tests/e2e/test_other_clients.py does it`);
  return value;
}

export const origin = named("BASE_URL");
export const baseURL = `${origin}/v1`;
export const apiKey = named("API_KEY");
/** An application that lets only pages of another origin in. */
export const refusing = () => named("REFUSING_URL");
export const browser = () => named("CHROMIUM");

/** A `fetch` that counts its calls. */
export function counting() {
  const counted = async (...call) => {
    counted.calls += 1;
    return fetch(...call);
  };
  counted.calls = 0;
  return counted;
}

/** The links in a text's Markdown images. */
export function links(markdown) {
  return [...markdown.matchAll(/!\[.*?\]\((.*?)\)/g)].map(([, url]) => url);
}

/** The image that a link leads to, fetched as an `<img>` does it: without a key. */
export async function fetched(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^image\//);
  return Buffer.from(await answer.arrayBuffer());
}
