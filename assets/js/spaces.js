// @ts-check
/**
 * The status panel: each Space's health, queue, latency and breaker, as `GET /v1/spaces` has it; from a server without
 * it, what the models' details say.
 */

import { call } from "./api.js";
import { byId, fill, h, setText, svg } from "./dom.js";
import { ago, clock, failureText, n, t, troubled } from "./i18n.js";

/** Pause between two questions while the panel is in sight, in milliseconds. */
const PERIOD = 4000;
/** Number of models that are asked about their Spaces where there is no list. */
const MOST = 24;
/** Tone of each state: well, busy, troubled. */
const TONES = { ready: "well", busy: "busy", probing: "busy", cooling_down: "ill", unknown: "off" };

export class Spaces {
  #timer = null;
  #visible = false;
  #details = new Map();
  /** `null` until asked; `false` where the server has no such list. */
  #listed = null;
  #learn;
  /** The models' ids. */
  models = [];

  /** @param {{learn: (id: string) => void}} asker asks for a model's details */
  constructor({ learn }) {
    this.#learn = learn;
    document.addEventListener("visibilitychange", () => this.#schedule());
    byId("refresh-spaces").addEventListener("click", () => this.#ask());
  }

  /** Begins or ends looking. */
  look(visible) {
    this.#visible = visible;
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#visible && !document.hidden) this.#ask();
  }

  /** Takes a model's details: their Spaces, where there is no list. */
  setDetails(id, details) {
    this.#details.set(id, details);
    if (this.#listed === false) this.#showDetails();
  }

  async #ask() {
    clearTimeout(this.#timer);
    if (this.#listed !== false) {
      try {
        const { data } = await call("GET", "/v1/spaces", { background: true });
        this.#listed = true;
        this.#show(data);
      } catch (error) {
        if (error.kind === "http" && error.status === 404) this.#listed = false;
        else setText(byId("spaces-note"), failureText(error));
      }
    }
    if (this.#listed === false) {
      for (const id of this.models.slice(0, MOST)) this.#learn(id);
      this.#showDetails();
      return;
    }
    if (this.#visible && !document.hidden) this.#timer = setTimeout(() => this.#ask(), PERIOD);
  }

  #show(spaces) {
    setText(byId("spaces-note"), spaces.length === 0 ? t("spaces.none") : n("spaces.count", spaces.length));
    fill(
      byId("spaces-list"),
      spaces.map((space) => this.#card(space)),
    );
  }

  #card(space) {
    const {
      id,
      models = [],
      state,
      in_flight,
      waiting,
      slots,
      latency,
      queue,
      breaker,
      last_error,
      successes,
      failures,
      gradio,
      endpoint,
      capabilities_age,
    } = space;
    const now = Date.now() / 1000;
    const rows = [
      [t("spaces.jobs"), in_flight !== undefined ? t("spaces.jobsOf", { jobs: in_flight, slots: slots ?? "?" }) : null],
      [t("spaces.waiting"), waiting],
      [
        t("spaces.queue"),
        queue?.size > 0 ? queue.size + (queue.eta_seconds ? ` · ${clock(queue.eta_seconds)}` : "") : null,
      ],
      [
        t("spaces.made"),
        successes !== undefined ? t("spaces.madeOf", { made: successes, failed: failures ?? 0 }) : null,
      ],
      ["Gradio", gradio && (endpoint ? `${gradio} · /${endpoint}` : gradio)],
      [t("spaces.known"), capabilities_age !== undefined ? ago(capabilities_age) : null],
    ];
    return h(
      "li",
      { class: `space ${TONES[state] ?? "off"}` },
      h(
        "header",
        {},
        h("h3", {}, id),
        h(
          "span",
          { class: "space-state" },
          h("span", { class: "dot", "aria-hidden": "true" }),
          t(`space.${TONES[state] ? state : "unknown"}`),
        ),
      ),
      models.length > 0 && h("p", { class: "space-models" }, models.join(", ")),
      breaker && breaker.state !== "closed" && this.#breaker(breaker, now),
      latency?.recent?.length > 0 && this.#latency(latency),
      h(
        "dl",
        { class: "facts" },
        rows
          .filter(([, value]) => value !== null && value !== undefined && value !== "")
          .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))),
      ),
      last_error &&
        h(
          "p",
          { class: "space-error" },
          t("spaces.lastError", {
            when: last_error.at ? ago(now - last_error.at) : "",
            message: troubled(last_error.code ?? "", last_error.message),
          }),
        ),
    );
  }

  #breaker({ state, reason, message, until, failures }, now) {
    const left = until ? Math.max(0, until - now) : 0;
    return h(
      "p",
      { class: "breaker" },
      h("strong", {}, t(state === "open" ? "breaker.open" : "breaker.half_open")),
      " ",
      reason || message ? troubled(reason ?? "", message) : "",
      failures ? ` ${n("breaker.failures", failures)}` : "",
      left > 0 ? ` ${t("breaker.until", { time: clock(left) })}` : "",
    );
  }

  /** A sparkline of the last jobs' seconds. */
  #latency({ recent, ewma_seconds, samples }) {
    const [width, height] = [120, 28];
    const most = Math.max(...recent, 0.001);
    const x = (at) => (recent.length === 1 ? width / 2 : (at / (recent.length - 1)) * (width - 4) + 2);
    const y = (value) => height - 3 - (value / most) * (height - 6);
    const words = t("spaces.latency", { average: clock(ewma_seconds ?? recent.at(-1)), last: clock(recent.at(-1)) });
    return h(
      "div",
      { class: "latency" },
      svg(
        "svg",
        { viewBox: `0 0 ${width} ${height}`, class: "spark", "aria-hidden": "true" },
        svg("polyline", { points: recent.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }),
        svg("circle", { cx: x(recent.length - 1), cy: y(recent.at(-1)), r: 2.5 }),
      ),
      h("span", {}, words, samples ? ` · ${n("spaces.samples", samples)}` : ""),
    );
  }

  /** Of a server without the list: what the models say of their Spaces. */
  #showDetails() {
    setText(byId("spaces-note"), t("spaces.absent"));
    const spaces = new Map();
    for (const [model, details] of this.#details) {
      for (const { name, state, gradio, endpoint } of details.spaces ?? []) {
        const known = spaces.get(name) ?? {
          id: name,
          models: [],
          state: state === "ready" ? "ready" : "cooling_down",
          gradio,
          endpoint,
          last_error: state === "ready" ? undefined : { message: troubled(state) },
        };
        known.models.push(model);
        spaces.set(name, known);
      }
    }
    fill(
      byId("spaces-list"),
      [...spaces.values()].map((space) => this.#card(space)),
    );
  }
}
