// @ts-check
/** The page that shows openapi.json. Its words only ever become text. */

let api;

/** What a reference leads to. */
const resolved = (value) =>
  value?.$ref
    ? resolved(
        value.$ref
          .slice(2)
          .split("/")
          .reduce((at, name) => at[name], api),
      )
    : value;

const element = (name, ...children) => {
  const made = document.createElement(name);
  made.append(...children);
  return made;
};

/** The type of a schema, in a few words. */
function kind(schema) {
  const { type, enum: names, const: only, items, anyOf, oneOf, minimum, maximum } = resolved(schema);
  if (only !== undefined) return JSON.stringify(only);
  if (names) return names.map((name) => JSON.stringify(name)).join(" | ");
  if (anyOf ?? oneOf) return (anyOf ?? oneOf).map(kind).join(" | ");
  if (items) return `array of ${kind(items)}`;
  const range = minimum === undefined && maximum === undefined ? "" : ` ${minimum ?? ""}…${maximum ?? ""}`;
  return [type ?? "object"].flat().join(" | ") + range;
}

/** The fields of a schema, those of its parts among them: name, schema and whether it is required. */
function fieldsOf(schema) {
  const { properties = {}, required = [], allOf = [], anyOf = [], items } = resolved(schema);
  const own = Object.entries(properties).map(([name, field]) => [name, field, required.includes(name)]);
  return [...allOf, ...anyOf, ...(items ? [items] : [])].flatMap(fieldsOf).concat(own);
}

function list(fields, depth = 0) {
  const items = fields.flatMap(([name, schema, required]) => {
    const { description, default: preset } = resolved(schema);
    const said = [description, preset === undefined ? "" : `Default: ${preset}.`].filter(Boolean).join(" ");
    const inner = depth < 4 ? fieldsOf(schema) : [];
    const rest = inner.length > 0 ? [element("details", element("summary", "Fields"), list(inner, depth + 1))] : [];
    const note = element("small", ` ${kind(schema)}${required ? ", required" : ""}`);
    return [element("dt", element("code", name), note), element("dd", said, ...rest)];
  });
  return element("dl", ...items);
}

/** Bodies of a request or an answer. */
const bodies = (content) =>
  Object.entries(content ?? {}).flatMap(([type, { schema }]) => [
    element("p", element("code", type), ` ${resolved(schema)?.description ?? ""}`),
    list(schema ? fieldsOf(schema) : []),
  ]);

function command(method, path, { requestBody }) {
  const lines = [`curl ${location.origin}${path} -H "Authorization: Bearer $API_KEY"`];
  if (method !== "get") lines[0] = lines[0].replace("curl", `curl -X ${method.toUpperCase()}`);
  const schema = requestBody?.content["application/json"]?.schema;
  if (schema) {
    const required = fieldsOf(schema).filter(([, , required]) => required);
    const sample = (field) => resolved(field).examples?.[0] ?? (kind(field).startsWith("array") ? [] : "…");
    const body = JSON.stringify(Object.fromEntries(required.map(([name, field]) => [name, sample(field)])));
    lines.push(`-H "Content-Type: application/json" -d '${body}'`);
  }
  return element("pre", lines.join(" \\\n  "));
}

function operation(method, path, item, shared) {
  const parameters = [...(shared ?? []), ...(item.parameters ?? [])].map(resolved);
  const fields = parameters.map(({ name, in: place, schema, required }) => [`${name} (${place})`, schema, required]);
  const title = element("summary", element("b", method.toUpperCase()), element("code", path), ` ${item.summary}`);
  const answers = Object.entries(item.responses).map(([status, answer]) => {
    const { description, content } = resolved(answer);
    return element("details", element("summary", element("b", status), description), ...bodies(content));
  });
  const request = item.requestBody ? [element("h3", "Request"), ...bodies(item.requestBody.content)] : [];
  const heading = fields.length > 0 ? [element("h3", "Parameters"), list(fields)] : [];
  const shown = element("details", title, command(method, path, item), ...heading, ...request);
  shown.append(element("h3", "Answers"), ...answers);
  shown.id = item.operationId;
  return shown;
}

async function show() {
  const answer = await fetch("openapi.json");
  api = await answer.json();
  document.querySelector("#about").textContent = `${api.info.summary} ${api.info.description}`;
  const all = Object.entries(api.paths).flatMap(([path, { parameters, ...methods }]) =>
    Object.entries(methods).map(([method, item]) => ({ tag: item.tags[0], made: [method, path, item, parameters] })),
  );
  for (const { name } of api.tags) {
    const own = all
      .filter(({ tag }) => tag === name)
      .map(({ made: [method, path, item, shared] }) => {
        return operation(method, path, item, shared);
      });
    document.querySelector("#operations").append(element("section", element("h2", name), ...own));
  }
  const wanted = /** @type {HTMLDetailsElement|null} */ (document.getElementById(location.hash.slice(1)));
  if (wanted) wanted.open = true;
  wanted?.scrollIntoView();
}

show().catch((error) => {
  document.querySelector("#about").textContent = `The document can't be read: ${error.message}`;
});
