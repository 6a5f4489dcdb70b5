// @ts-check
/**
 * Any request as a program: `curl`, Python (with OpenAI's SDK where that has a method, else `httpx`), JavaScript. One
 * that makes an image ends with the image in a file. The key is a variable of the environment, never the key.
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

/** The way in which a request's image comes: `none`, `waiting`, `stream` or `task`. */
function wayOf({ method, path, json, form, headers }) {
  if (method !== "POST" || !/^\/v1\/images\/(generations|edits)$/.test(path)) return "none";
  if (/respond-async/.test(headers.Prefer ?? "")) return "task";
  return isStreamed(json, form) ? "stream" : "waiting";
}

/** The file that an image goes into. */
function fileOf({ json, form }) {
  const format = json?.output_format ?? new Map(form).get("output_format") ?? "png";
  return `image.${format === "jpeg" ? "jpg" : String(format).replace(/\W/g, "")}`;
}

const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

function curl(request, origin) {
  const { method, path, json, form, headers } = request;
  const unbuffered = isStreamed(json, form) ? "N" : "";
  const verb = method === "GET" || json || form ? "" : `-X ${method} `;
  const lines = [`curl -sS${unbuffered} ${verb}${quoted(origin + path)}`, `-H "Authorization: Bearer $${VARIABLE}"`];
  for (const [name, value] of Object.entries(headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (json) lines.push(`-H 'Content-Type: application/json'`, `-d ${quoted(JSON.stringify(json))}`);
  for (const [name, value] of form ?? [])
    lines.push(
      value.startsWith("@") ? `-F ${quoted(`${name}=${value}`)}` : `--form-string ${quoted(`${name}=${value}`)}`,
    );
  const call = lines.join(" \\\n  ");
  const part = (name) => `sed -n 's/.*"${name}": *"\\([^"]*\\)".*/\\1/p'`;
  const bytes = `base64 --decode > ${fileOf(request)}`;
  const poll = `curl -sS "$poll" -H "Authorization: Bearer $${VARIABLE}"`;
  return {
    none: call,
    waiting: `${call} |\n  ${part("b64_json")} | ${bytes}`,
    stream: `${call} |\n  ${part("b64_json")} | tail -n 1 | ${bytes}`,
    task: `poll=$(${call} |
  ${part("poll_url")})
until answer=$(${poll}) && printf '%s' "$answer" | grep -q '"completed_at"'; do sleep 1; done
printf '%s' "$answer" | ${part("url")} | xargs curl -sS -o ${fileOf(request)}`,
  }[wayOf(request)];
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
    return sdk(origin, "client.images.generate", Object.entries(json), request, []);
  if (path === "/v1/images/edits" && form) {
    const files = form.filter(([, value]) => value.startsWith("@"));
    return sdk(
      origin,
      "client.images.edit",
      form.filter(([, value]) => !value.startsWith("@")),
      request,
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

function sdk(origin, call, fields, request, files) {
  const { headers } = request;
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
  const file = literal(fileOf(request));
  const way = wayOf(request);
  const end = {
    waiting: `image = answer.data[0]
Path(${file}).write_bytes(b64decode(image.b64_json) if image.b64_json else httpx.get(image.url).content)`,
    stream: `for event in answer:
    if event.type.endswith(".completed"):
        Path(${file}).write_bytes(b64decode(event.b64_json))`,
    task: `task = answer.model_extra
while "completed_at" not in task:
    time.sleep(1)
    task = httpx.get(task["poll_url"], headers={"Authorization": f"Bearer {client.api_key}"}).json()
Path(${file}).write_bytes(httpx.get(task["data"][0]["url"]).content)`,
  }[way];
  const imports = {
    waiting: "import os\nfrom base64 import b64decode\nfrom pathlib import Path\n\nimport httpx\n",
    stream: "import os\nfrom base64 import b64decode\nfrom pathlib import Path\n\n",
    task: "import os\nimport time\nfrom pathlib import Path\n\nimport httpx\n",
  }[way];
  return `${imports}from openai import OpenAI

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

function javascript(request, origin) {
  const { method, path, json, form, headers } = request;
  const way = wayOf(request);
  const sent = { ...headers, ...(json ? { "Content-Type": "application/json" } : {}) };
  const lines = Object.entries(sent).map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)},\n`);
  let before = way === "none" ? "" : `import { writeFile } from "node:fs/promises";\n\n`;
  let body = "";
  if (json) body = `\n  body: JSON.stringify(${JSON.stringify(json, null, 2).replaceAll("\n", "\n  ")}),`;
  if (form) {
    before = `import { openAsBlob } from "node:fs";\n${before || "\n"}const form = new FormData();\n`;
    for (const [name, value] of form) {
      const path = JSON.stringify(value.slice(1));
      before += value.startsWith("@")
        ? `form.append(${JSON.stringify(name)}, await openAsBlob(${path}), ${path});\n`
        : `form.append(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`;
    }
    before += "\n";
    body = "\n  body: form,";
  }
  const file = JSON.stringify(fileOf(request));
  const end = {
    none: "console.log(await response.json());",
    waiting: `const [image] = (await response.json()).data;
const bytes = image.b64_json
  ? Buffer.from(image.b64_json, "base64")
  : Buffer.from(await (await fetch(image.url)).arrayBuffer());
await writeFile(${file}, bytes);`,
    stream: `const images = (await response.text()).matchAll(/^data:.*"b64_json": *"([^"]*)"/gm);
await writeFile(${file}, Buffer.from([...images].at(-1)[1], "base64"));`,
    task: `const headers = { Authorization: \`Bearer \${process.env.${VARIABLE}}\` };
let task = await response.json();
while (!task.completed_at) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  task = await (await fetch(task.poll_url, { headers })).json();
}
await writeFile(${file}, Buffer.from(await (await fetch(task.data[0].url)).arrayBuffer()));`,
  }[way];
  return `${before}const response = await fetch(${JSON.stringify(origin + path)}, {
  method: ${JSON.stringify(method)},
  headers: {
    Authorization: \`Bearer \${process.env.${VARIABLE}}\`,
${lines.join("")}  },${body}
});
${end}
`;
}
