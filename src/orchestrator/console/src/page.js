/** Puts the page together: storage, session and views, and what the browser tells about itself. */

import { Composer } from "./composer.js";
import { Drawer } from "./drawer.js";
import { loadIdentity, newId, saveIdentity } from "./identity.js";
import { LogView } from "./log_view.js";
import { Session } from "./session.js";
import { StatusView } from "./status_view.js";
import { speaker, spokenLanguage } from "./texts.js";

/** @param {string} id @returns {any} */
const part = (id) => document.getElementById(id);

class Page {
  #scheduled = false;
  /** Whether what is drawn next was there before the person came. */
  #restoring = true;

  /** @param {Storage | null} storage */
  constructor(storage) {
    this.storage = storage;
    this.say = speaker(navigator.language);
    this.identity = loadIdentity(storage);
    const { say } = this;
    translate(document, say);
    translate(part("turn").content, say);
    this.status = new StatusView({
      badge: part("connection"), banner: part("banner"), reason: part("reason"), say,
    });
    this.log = new LogView({
      scroller: part("scroller"), list: part("log"), welcome: part("welcome"), say,
      latest: part("latest"), region: part("announcements"), template: part("turn"),
      session: () => this.session,
    });
    this.composer = new Composer({
      form: part("composer"), field: part("message"), sendButton: part("send"), say,
      stopButton: part("stop"), note: part("note"),
      onSend: (text) => this.#send(text), onStop: () => this.#stopNewest(),
    });
    this.drawer = new Drawer({
      dialog: part("drawer"), form: part("settings-form"), demoButton: part("demo"), say,
      cancelButton: part("drawer-cancel"), onSave: (identity) => this.#change(identity),
    });
    this.session = this.#openSession();
    this.#listen();
    this.composer.focus();
  }

  #listen() {
    const nudge = () => this.session.nudge();
    addEventListener("online", nudge);
    addEventListener("offline", () => this.#draw());
    addEventListener("pagehide", () => this.session.keep());
    addEventListener("pageshow", (event) => event.persisted && nudge());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") nudge();
      else this.session.keep();
    });
    addEventListener("storage", (event) => {
      if (event.key === this.session.archive.key) this.session.adopt(event.newValue);
    });
    part("new").addEventListener("click", () => {
      this.#change({ ...this.identity, session: newId("sess-") });
    });
    part("settings").addEventListener("click", () => this.drawer.open(this.identity));
    part("retry").addEventListener("click", () => this.session.connection.retry());
    for (const idea of document.querySelectorAll(".idea")) {
      idea.addEventListener("click", () => this.#send(idea.textContent ?? ""));
    }
  }

  #openSession() {
    const { storage, identity } = this;
    const origin = location.origin.replace(/^http/, "ws");
    const session = new Session(identity, { storage, origin, onChange: () => this.#schedule() });
    part("agent").textContent = identity.agent;
    this.#restoring = true;
    // Opened after the caller has it: the views ask for it when it reports its first change.
    queueMicrotask(() => session.open());
    this.#schedule();
    return session;
  }

  /** @param {import("./identity.js").Identity} identity */
  #change(identity) {
    this.session.close();
    this.identity = identity;
    saveIdentity(this.storage, identity);
    this.log.clear();
    this.session = this.#openSession();
    this.composer.focus();
  }

  /** @param {string} text */
  #send(text) {
    this.session.send(text);
    this.log.follow();
    this.composer.focus();
  }

  #stopNewest() {
    const turn = this.session.transcript.open().findLast((open) => !open.stopping);
    if (turn) this.session.stop(turn);
  }

  /** At most one drawing a frame, however fast the words come; none while nobody can see it. */
  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw() {
    const { session } = this;
    const { position } = session.cursor;
    const open = session.transcript.open();
    this.status.draw(session.connection.state);
    this.log.draw(this.#restoring);
    this.#restoring = false;
    this.composer.draw(open.some((turn) => !turn.stopping));
    if (position !== null) session.shown(position);
    // A countdown is on the page: it changes though nothing happens.
    if (open.some((turn) => turn.retryAt !== null)) setTimeout(() => this.#schedule(), 250);
  }
}

/**
 * @param {ParentNode} root
 * @param {import("./texts.js").Say} say
 */
function translate(root, say) {
  document.documentElement.lang = spokenLanguage(navigator.language);
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = say(element.getAttribute("data-text") ?? "");
  }
  for (const name of ["aria-label", "placeholder", "title"]) {
    for (const element of root.querySelectorAll(`[data-${name}]`)) {
      element.setAttribute(name, say(element.getAttribute(`data-${name}`) ?? ""));
    }
  }
}

/** @returns {Storage | null} null where the browser forbids it */
function browserStorage() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

new Page(browserStorage());
