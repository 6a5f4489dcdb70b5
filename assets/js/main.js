// @ts-check
/**
 * The studio: what listens to what.
 */

import { call } from "./api.js";
import { Batches } from "./batches.js";
import { Composer, randomSeed } from "./composer.js";
import { Connection } from "./connection.js";
import { allOf, announce, byId, elementOf, fieldOf, openDialog, toast } from "./dom.js";
import * as ended from "./ended.js";
import { made } from "./fetching.js";
import { Gallery } from "./gallery.js";
import * as history from "./history.js";
import { language, setLanguage, t, translate } from "./i18n.js";
import * as jobs from "./jobs.js";
import { Log } from "./log.js";
import { extract } from "./metadata.js";
import "./mirror.js";
import { Prompts } from "./prompts.js";
import { Spaces } from "./spaces.js";
import { full, keepSetting, persist, setting } from "./store.js";
import { Viewer } from "./viewer.js";

const VIEWS = ["create", "gallery", "spaces", "log"];
/** Pause after the time at which a Space is back, in milliseconds. */
const AFTER = 500;
/** Number of variations that are made at once. */
const VARIATIONS = 4;

const connection = new Connection({ wait: makeLater, look: () => learn(composer.model) });
const log = new Log();
const spaces = new Spaces({ learn });
const composer = new Composer({ onSubmit: make, onModel: learn });
const viewer = new Viewer({ useAsInput, useSettings, vary });
const open = (pictures, id) => viewer.open(pictures, id);
const gallery = new Gallery({ open });
const batches = new Batches({ open });
const prompts = new Prompts({ take: (text) => (composer.prompt = text), current: () => composer.prompt });

// Making.

function make(order) {
  if (order.problem) {
    setProblem(order.problem);
    return;
  }
  setProblem("");
  if (connection.state === "no-key" || connection.state === "wrong-key") {
    connection.ask();
    return;
  }
  begin(order.recipe, order.count, order);
}

/** Makes what the form asks for when a Space is back; until then it is held in the page. */
function makeLater(until) {
  const order = composer.order();
  make(order.problem ? order : { ...order, after: until * 1000 + AFTER });
}

function begin(recipe, count, how) {
  jobs.start(recipe, count, how);
  prompts.remember(recipe.prompt);
  announce(t("said.begun", { count }));
  show("gallery");
  byId("stage").scrollTo?.({ top: 0 });
  persist();
}

function setProblem(text) {
  byId("problem").textContent = text;
}

made.keep = async (job, blob, facts) => {
  const { recipe, batch, begun } = job;
  const used = { ...recipe };
  if (Number.isInteger(facts.seed)) used.seed = facts.seed;
  const about = {
    seconds: (Date.now() - begun) / 1000,
    space: facts.space,
    url: facts.url?.startsWith("data:") ? undefined : facts.url,
    taskId: job.taskId ?? undefined,
  };
  await history.add(job.imageId, blob, used, about, recipe.kind === "edit" ? batch.images[0] : null);
};

/** Asks for a model's details, which the composer and the panels wait for. */
async function learn(id) {
  try {
    const details = await call("GET", `/v1/models/${encodeURIComponent(id)}`, { background: true });
    composer.setDetails(id, details);
    spaces.setDetails(id, details);
    if (id === composer.model) connection.setDetails(details);
  } catch (error) {
    if (error.kind === "http") composer.setDetails(id, { capabilities: null, spaces: [] });
  }
}

connection.ready.on(async (models) => {
  spaces.models = models.map(({ id }) => id);
  composer.setModels(models);
  await jobs.probe();
  composer.setTasks(jobs.server.tasks === true);
  await jobs.resume();
  history.ask();
});

// A failure may have been the last of several: whether a Space is left, the server knows.
jobs.changed.on((job) => {
  if (job?.state === "failed" && job.error.kind === "http" && job.recipe.model === composer.model)
    learn(composer.model);
});

// What can be done with an image.

function useSettings(recipe) {
  composer.apply(recipe);
  show("create");
  toast(t("settings.taken"));
}

function useAsInput(blob) {
  composer.inputs.add([blob]);
  composer.setMode("edit");
  if (!composer.edits) toast(t("inputs.noEdits"), { failed: true });
  show("create");
}

async function vary(recipe, picture) {
  const { n: _, ...base } = recipe;
  const before = recipe.kind === "edit" ? await history.bytesBefore(picture) : null;
  if (recipe.kind === "edit" && !before) {
    toast(t("vary.noInput"), { failed: true });
    return;
  }
  begin({ ...base, seed: randomSeed() }, VARIATIONS, {
    way: composer.background ? "task" : "stream",
    partial: false,
    images: before ? [before] : [],
  });
}

// Images that are brought here.

async function receive(files, { asInput = false } = {}) {
  const pictures = files.filter(({ type }) => type.startsWith("image/"));
  if (pictures.length === 0) return;
  const recipe = asInput || pictures.length > 1 ? null : await extract(pictures[0]);
  if (recipe) useSettings(recipe);
  else if (composer.edits) useAsInputs(pictures);
  else toast(t("drop.nothing"), { failed: true });
}

function useAsInputs(pictures) {
  composer.setMode("edit");
  composer.inputs.add(pictures);
}

let depth = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  depth++;
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!hasFiles(event)) return;
  depth = Math.max(0, depth - 1);
  if (depth === 0) document.body.classList.remove("dropping");
});
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dropping");
  receive([...event.dataTransfer.files], { asInput: Boolean(elementOf(event).closest?.("#input-section")) });
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length === 0) return;
  event.preventDefault();
  receive(files, { asInput: true });
});
byId("read-file").addEventListener("change", async (event) => {
  const [file] = fieldOf(event).files;
  fieldOf(event).value = "";
  const recipe = file && (await extract(file));
  if (recipe) useSettings(recipe);
  else toast(t("drop.nothing"), { failed: true });
});
byId("read-settings").addEventListener("click", () => byId("read-file").click());

// Views.

function show(view) {
  const next = VIEWS.includes(view) ? view : "gallery";
  document.body.dataset.view = next;
  // Beside the form there is always one of the others.
  const stage = next === "create" ? (document.body.dataset.stage ?? "gallery") : next;
  document.body.dataset.stage = stage;
  for (const name of VIEWS.slice(1)) byId(`view-${name}`).hidden = name !== stage;
  for (const tab of allOf(".tabs button")) {
    const current = tab.dataset.view === next || (next === "create" && tab.dataset.view === stage && !narrow.matches);
    if (current) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  spaces.look(stage === "spaces" && (next !== "create" || !narrow.matches));
  log.look(stage === "log" && (next !== "create" || !narrow.matches));
}

const narrow = matchMedia("(max-width: 899px)");
narrow.addEventListener("change", () => show(document.body.dataset.view));
for (const tab of allOf(".tabs button")) tab.addEventListener("click", () => show(tab.dataset.view));
show(narrow.matches ? "create" : "gallery");

// Language and colours.

function speak() {
  translate();
  byId("language").lang = language() === "zh" ? "en" : "zh-CN";
  composer.refresh();
  connection.refresh();
  gallery.show();
  batches.refresh();
  viewer.refresh();
  setTheme(setting("theme", "auto"));
  show(document.body.dataset.view);
}

byId("language").addEventListener("click", () => {
  setLanguage(language() === "zh" ? "en" : "zh");
  speak();
});

const THEMES = ["auto", "light", "dark"];
function setTheme(theme) {
  keepSetting("theme", theme);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = byId("theme");
  button.dataset.theme = theme;
  button.setAttribute("aria-label", t(`theme.${theme}`));
  button.title = t(`theme.${theme}`);
}
byId("theme").addEventListener("click", () =>
  setTheme(THEMES[(THEMES.indexOf(setting("theme", "auto")) + 1) % THEMES.length]),
);

// The keyboard.

addEventListener("keydown", (event) => {
  const isTyping = elementOf(event).closest?.("input, textarea, select, [contenteditable]");
  const isModal = document.querySelector("dialog[open]");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !isModal) {
    event.preventDefault();
    if (!event.repeat) composer.submit();
  } else if (isTyping || isModal || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    show("gallery");
    byId("search").focus();
  } else if (event.key === "p") {
    event.preventDefault();
    show("create");
    byId("prompt").focus();
  } else if (event.key === "?") {
    openDialog(byId("help"));
  }
});
byId("open-help").addEventListener("click", () => openDialog(byId("help")));
byId("help-close").addEventListener("click", () => byId("help").close());

// Leaving.

addEventListener("beforeunload", (event) => {
  if (jobs.perishable().length > 0) event.preventDefault();
});
full.on(() => toast(t("store.full"), { failed: true }));

for (const idea of allOf("[data-idea]")) {
  idea.addEventListener("click", () => {
    composer.prompt = t(idea.dataset.idea);
    show("create");
    byId("prompt").focus();
  });
}

speak();
setTheme(setting("theme", "auto"));
document.documentElement.dataset.ready = "";
history.load();
ended.load();
connection.connect();
