// @ts-check
/**
 * Any request as a program: `curl`, Python (with OpenAI's SDK where that has a method, else `httpx`), JavaScript. The
 * key is a variable of the environment, never the key.
 */

/** Name of each language. */
export const LANGUAGES = ["curl", "Python", "JavaScript"];
const VARIABLE = "Z_IMAGE_API_KEY";

/**
 * @param {string} language one of {@link LANGUAGES}
 * @param {{method: string, path: string, json?: object|null, form?: Array<[string, string]>|null, headers?: object}}
 *   request
 * @param {string} origin
 */
export function snippet(language, request, origin) {
  return { curl, Python: python, JavaScript: javascript }[language]({ headers: {}, ...request }, origin);
}

/** True where the answer comes as a stream of events. */
const isStreamed = (json, form) =>
  Boolean(json?.stream || form?.some(([name, value]) => name === "stream" && value === "true"));

const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

function curl({ method, path, json, form, headers }, origin) {
  const unbuffered = isStreamed(json, form) ? "N" : "";
  const verb = method === "GET" || json || form ? "" : `-X ${method} `;
  const lines = [`curl -sS${unbuffered} ${verb}${quoted(origin + path)}`, `-H "Authorization: Bearer $${VARIABLE}"`];
  for (const [name, value] of Object.entries(headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (json) lines.push(`-H 'Content-Type: application/json'`, `-d ${quoted(JSON.stringify(json))}`);
  for (const [name, value] of form ?? [])
    lines.push(
      value.startsWith("@") ? `-F ${quoted(`${name}=${value}`)}` : `--form-string ${quoted(`${name}=${value}`)}`,
    );
  return lines.join(" \\\n  ");
}

/** The parameters that OpenAI's SDK knows by name; the others go into `extra_body`. */
const SDK = new Set([
  "model",
  "prompt",
  "n",
  "size",
  "quality",
  "response_format",
  "output_format",
  "output_compression",
  "background",
  "moderation",
  "stream",
  "partial_images",
  "style",
  "user",
]);

function python(request, origin) {
  const { method, path, json, form, headers } = request;
  if (path === "/v1/images/generations" && json)
    return sdk(origin, "client.images.generate", Object.entries(json), headers, []);
  if (path === "/v1/images/edits" && form) {
    const files = form.filter(([, value]) => value.startsWith("@"));
    return sdk(
      origin,
      "client.images.edit",
      form.filter(([, value]) => !value.startsWith("@")),
      headers,
      files,
    );
  }
  const sent = Object.entries(headers).map(([name, value]) => `, ${literal(name)}: ${literal(value)}`);
  const extra = json ? `, json=${literal(json)}` : "";
  return `import os

import httpx

answer = httpx.request(
    ${literal(method)}, ${literal(origin + path)}${extra},
    headers={"Authorization": "Bearer " + os.environ["${VARIABLE}"]${sent.join("")}}, timeout=300,
)
print(answer.text)
`;
}

function sdk(origin, call, fields, headers, files) {
  const known = fields.filter(([name]) => SDK.has(name));
  const others = Object.fromEntries(fields.filter(([name]) => !SDK.has(name)));
  const value = ([name, value]) =>
    name === "n" || name === "partial_images" ? Number(value) : name === "stream" ? String(value) === "true" : value;
  const lines = known.map((field) => `${field[0]}=${literal(value(field))},`);
  const pictures = files.filter(([name]) => name !== "mask").map(([, name]) => `open(${literal(name.slice(1))}, "rb")`);
  if (pictures.length > 0) lines.unshift(`image=${pictures.length === 1 ? pictures[0] : `[${pictures.join(", ")}]`},`);
  if (files.some(([name]) => name === "mask")) lines.push(`mask=open("mask.png", "rb"),`);
  if (Object.keys(others).length > 0) lines.push(`extra_body=${literal(others)},`);
  if (Object.keys(headers).length > 0) lines.push(`extra_headers=${literal(headers)},`);
  const streamed = known.some((field) => field[0] === "stream" && value(field));
  const end = headers.Prefer
    ? `print(answer.model_extra["poll_url"])  # a task: ask there until it has succeeded`
    : streamed
      ? "for event in answer:\n    print(event.type)"
      : `data = answer.data[0]\nprint(data.url or data.b64_json[:60])`;
  return `import os

from openai import OpenAI

client = OpenAI(base_url=${literal(`${origin}/v1`)}, api_key=os.environ["${VARIABLE}"])
answer = ${call}(
${lines.map((line) => `    ${line}`).join("\n")}
)
${end}
`;
}

/** A value in Python. */
function literal(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null || value === undefined) return "None";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([name, inner]) => `${literal(name)}: ${literal(inner)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

function javascript({ method, path, json, form, headers }, origin) {
  const sent = { ...headers, ...(json ? { "Content-Type": "application/json" } : {}) };
  const lines = Object.entries(sent).map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)},\n`);
  let before = "";
  let body = "";
  if (json) body = `\n  body: JSON.stringify(${JSON.stringify(json, null, 2).replaceAll("\n", "\n  ")}),`;
  if (form) {
    before = `import { openAsBlob } from "node:fs";\n\nconst form = new FormData();\n`;
    for (const [name, value] of form) {
      const path = JSON.stringify(value.slice(1));
      before += value.startsWith("@")
        ? `form.append(${JSON.stringify(name)}, await openAsBlob(${path}), ${path});\n`
        : `form.append(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`;
    }
    before += "\n";
    body = "\n  body: form,";
  }
  const end = isStreamed(json, form)
    ? `for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {\n  console.log(piece);\n}`
    : "console.log(await response.json());";
  return `${before}const response = await fetch(${JSON.stringify(origin + path)}, {
  method: ${JSON.stringify(method)},
  headers: {
    Authorization: \`Bearer \${process.env.${VARIABLE}}\`,
${lines.join("")}  },${body}
});
${end}
`;
}
