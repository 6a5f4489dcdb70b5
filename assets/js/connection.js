// @ts-check
/**
 * The connection: a server, a key that it takes, and a Space behind it; and what to do where one is missing.
 */

import { call, key, reached } from "./api.js";
import { byId, Emitter, fill, h, openDialog, setText, textButton } from "./dom.js";
import { failureText, t, timeOfDay, troubled } from "./i18n.js";

/** Pause before a server that can't be reached is tried again, in milliseconds. */
const AGAIN = 5000;
/** Longest pause before Spaces that rest are asked about again. */
const LOOK = 15_000;
const TONES = {
  ok: "well",
  connecting: "busy",
  "no-space": "ill",
  "some-space": "busy",
  "no-model": "ill",
  "wrong-key": "ill",
  "no-key": "ill",
  unconfigured: "ill",
  offline: "off",
};

export class Connection {
  /**
   * `connecting`, `ok`, `no-key`, `wrong-key`, `unconfigured`, `offline`, `no-model`, `no-space` (all of the chosen
   * model's Spaces rest) or `some-space` (some of them do).
   */
  state = "connecting";
  /** Told when the server has been reached and has taken the key, with the models. */
  ready = new Emitter();
  #why = "";
  #timer = null;
  #isOpen = false;
  /** The chosen model's Spaces, and those of them that rest. */
  #spaces = [];
  #resting = [];
  #looking = null;
  #wait;
  #look;

  /** @param {{wait: (until: number) => void, look: () => void}} actions `look` asks for the model's details again */
  constructor({ wait, look }) {
    this.#wait = wait;
    this.#look = look;
    reached.on((state) => {
      if (state !== "ok") this.#to(state);
      else if (["offline", "no-key", "wrong-key", "unconfigured"].includes(this.state)) this.#to("ok");
    });
    addEventListener("online", () => this.connect());
    addEventListener("offline", () => this.#to("offline"));
    byId("connection").addEventListener("click", () => this.ask());
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try();
    });
    byId("forget-key").addEventListener("click", () => {
      key.forget();
      this.#showKey();
      this.connect();
    });
    byId("key-close").addEventListener("click", () => byId("key-dialog").close());
  }

  /** Reaches for the server. */
  async connect() {
    clearTimeout(this.#timer);
    try {
      const { data } = await call("GET", "/v1/models");
      this.#isOpen = key.value === "";
      if (data.length === 0) this.#to("no-model");
      else {
        this.#to("ok");
        this.ready.emit(data);
      }
    } catch (error) {
      if (error.kind === "http") this.#to("offline", failureText(error));
      if (error.kind === "key" && key.value === "") this.ask();
    }
  }

  /** Takes the chosen model's details, which tell what rests. */
  setDetails(details) {
    if (!["ok", "no-space", "some-space"].includes(this.state)) return;
    this.#spaces = details.spaces;
    this.#resting = details.spaces.filter(({ state }) => state !== "ready");
    const [all, some] = [details.spaces.length, this.#resting.length];
    const state = some === 0 ? "ok" : some === all ? "no-space" : "some-space";
    this.#to(state, JSON.stringify(this.#resting));
    clearTimeout(this.#looking);
    if (some === 0) return;
    const left = this.#until === null ? LOOK : this.#until * 1000 - Date.now() + 500;
    this.#looking = setTimeout(() => this.#look(), Math.min(LOOK, Math.max(1000, left)));
  }

  /** The time at which the first of the Spaces that rest is back, in seconds since the epoch, or null. */
  get #until() {
    const times = this.#resting.map(({ until }) => until).filter(Boolean);
    return times.length > 0 ? Math.min(...times) : null;
  }

  #to(state, why = "") {
    const isNew = state !== this.state || why !== this.#why;
    this.state = state;
    this.#why = why;
    if (isNew) this.refresh();
    clearTimeout(this.#timer);
    if (state === "offline") this.#timer = setTimeout(() => this.connect(), AGAIN);
  }

  /** Shows the state, in the words of the chosen language. */
  refresh() {
    const { state } = this;
    const button = byId("connection");
    button.dataset.tone = TONES[state];
    const count = this.#spaces.length;
    setText(byId("connection-text"), t(`connection.${state}`, { count, ready: count - this.#resting.length }));
    const banner = byId("banner");
    const calm = state === "ok" || state === "connecting" || state === "some-space";
    banner.hidden = calm;
    if (calm) {
      fill(banner);
      return;
    }
    const act = {
      "no-key": [t("banner.enterKey"), () => this.ask()],
      "wrong-key": [t("banner.enterKey"), () => this.ask()],
      unconfigured: [t("banner.enterKey"), () => this.ask()],
      offline: [t("banner.again"), () => this.connect()],
      "no-space": [t("banner.again"), () => this.connect()],
      "no-model": [t("banner.again"), () => this.connect()],
    }[state];
    const text = document.createElement("p");
    text.append(t(`banner.${state}`));
    const why = state === "no-space" ? this.#resting.map(described) : [this.#why].filter(Boolean);
    for (const words of why) text.append(" ", h("span", { class: "why" }, words));
    const until = state === "no-space" ? this.#until : null;
    fill(
      banner,
      text,
      until !== null && textButton(null, t("banner.wait"), () => this.#wait(until), { class: "primary wait" }),
      textButton(null, ...act),
    );
  }

  /** Asks for the key. */
  ask() {
    this.#showKey();
    openDialog(byId("key-dialog"));
    byId("key").focus();
  }

  #showKey() {
    byId("key").value = "";
    byId("key").placeholder = key.value ? t("key.kept") : t("key.placeholder");
    byId("forget-key").hidden = key.value === "";
    setText(byId("key-note"), this.#isOpen && this.state === "ok" ? t("key.notNeeded") : "");
    byId("key-note").classList.remove("failed");
    byId("key").removeAttribute("aria-invalid");
  }

  /** Tries a key before it is kept. */
  async #try() {
    const text = byId("key").value.trim();
    if (text === "") {
      if (key.value) byId("key-dialog").close();
      return;
    }
    const say = (words) => {
      setText(byId("key-note"), words);
      byId("key-note").classList.add("failed");
      byId("key").setAttribute("aria-invalid", "true");
    };
    byId("key-save").disabled = true;
    try {
      if (!/^[\x21-\x7e]+$/.test(text)) {
        say(t("key.characters"));
        return;
      }
      await call("GET", "/v1/models", { withKey: text });
      key.value = text;
      byId("key").value = "";
      byId("key-dialog").close();
      await this.connect();
    } catch (error) {
      say(
        error.kind === "offline"
          ? t("banner.offline")
          : error.kind !== "key"
            ? failureText(error)
            : error.code === "invalid_api_key"
              ? t("key.wrong")
              : t("banner.unconfigured"),
      );
    } finally {
      byId("key-save").disabled = false;
    }
  }
}

/** A Space that rests: why, and until when. */
const described = ({ name, state, until }) =>
  until
    ? t("banner.spaceUntil", { name, why: troubled(state).replace(/[.。]$/, ""), time: timeOfDay(until * 1000) })
    : t("banner.space", { name, why: troubled(state) });
