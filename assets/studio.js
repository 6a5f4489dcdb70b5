// The studio's first page: a key, a prompt, an image.

const KEY = "z-image.api-key";
const element = (id) => document.getElementById(id);
const [form, key, prompt, size, make, status, result, image, save, facts] = [
  "form", "key", "prompt", "size", "make", "status", "result", "image", "save", "facts",
].map(element);

let shown; // the object URL of the image that is shown

key.value = localStorage.getItem(KEY) ?? "";

function say(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}

/** Bytes of a base64 text. */
function decode(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** What went wrong, for people. */
async function reason(response) {
  try {
    const { error } = await response.json();
    return error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

async function generate() {
  const headers = { "Content-Type": "application/json" };
  if (key.value) {
    headers.Authorization = `Bearer ${key.value}`;
  }
  const response = await fetch("/v1/images/generations", {
    method: "POST",
    headers,
    body: JSON.stringify({ prompt: prompt.value, size: size.value }),
  });
  if (!response.ok) {
    throw new Error(await reason(response));
  }
  return response.json();
}

function show(answer) {
  const format = answer.output_format ?? "png";
  const [made] = answer.data;
  if (shown) {
    URL.revokeObjectURL(shown);
  }
  shown = URL.createObjectURL(new Blob([decode(made.b64_json)], { type: `image/${format}` }));
  image.src = shown;
  image.alt = prompt.value;
  save.href = shown;
  save.download = `z-image-${made.seed}.${format}`;
  facts.textContent = `${answer.size}, seed ${made.seed}`;
  result.hidden = false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  localStorage.setItem(KEY, key.value);
  make.disabled = true;
  const begun = performance.now();
  const seconds = () => Math.round((performance.now() - begun) / 1000);
  const clock = setInterval(() => say(`Working, ${seconds()} s`), 1000);
  say("Working");
  try {
    show(await generate());
    say(`Done in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  } catch (error) {
    // fetch gives a TypeError where the server can't be reached.
    say(error instanceof TypeError ? "The server can't be reached." : error.message, true);
  } finally {
    clearInterval(clock);
    make.disabled = false;
  }
});
