// @ts-check
/**
 * The connection: a server, a key that it takes, and a Space behind it; and what to do where one is missing.
 */

import { call, key, reached } from "./api.js";
import { byId, Emitter, fill, openDialog, setText, textButton } from "./dom.js";
import { t, troubled } from "./i18n.js";

/** Pause before a server that can't be reached is tried again, in milliseconds. */
const AGAIN = 5000;
const TONES = {
  ok: "well",
  connecting: "busy",
  "no-space": "ill",
  "no-model": "ill",
  "wrong-key": "ill",
  "no-key": "ill",
  unconfigured: "ill",
  offline: "off",
};

export class Connection {
  /** `connecting`, `ok`, `no-key`, `wrong-key`, `unconfigured`, `offline`, `no-model` or `no-space`. */
  state = "connecting";
  /** Told when the server has been reached and has taken the key, with the models' ids. */
  ready = new Emitter();
  #why = "";
  #timer = null;
  #isOpen = false;

  constructor() {
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
        this.ready.emit(data.map(({ id }) => id));
      }
    } catch (error) {
      if (error.kind === "http") this.#to("offline", error.message);
      if (error.kind === "key" && key.value === "") this.ask();
    }
  }

  /** Takes a model's details: without capabilities, nothing is known of its Spaces. */
  setDetails(details) {
    if (!["ok", "no-space"].includes(this.state)) return;
    const none = details.capabilities === null && details.spaces.length > 0;
    const why = none ? details.spaces.map(({ name, state }) => `${name}: ${troubled(state)}`).join(", ") : "";
    this.#to(none ? "no-space" : "ok", why);
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
    setText(byId("connection-text"), t(`connection.${state}`));
    const banner = byId("banner");
    const calm = state === "ok" || state === "connecting";
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
    if (this.#why)
      text.append(Object.assign(document.createElement("span"), { className: "why", textContent: this.#why }));
    fill(banner, text, textButton(null, ...act));
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
            ? error.message
            : error.code === "invalid_api_key"
              ? t("key.wrong")
              : t("banner.unconfigured"),
      );
    } finally {
      byId("key-save").disabled = false;
    }
  }
}
