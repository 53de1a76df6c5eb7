/** Puts the page together: storage, session and views, and what the browser tells about itself. */

import { Api, isForToken } from "./api.js";
import { Composer } from "./composer.js";
import { Credentials } from "./credentials.js";
import { Drawer } from "./drawer.js";
import { identityWith, isSame, loadIdentity, newId, saveIdentity } from "./identity.js";
import { LogView } from "./log_view.js";
import { Session } from "./session.js";
import { StatusView } from "./status_view.js";
import { speaker, spokenLanguage } from "./texts.js";
import { keepToken, loadToken } from "./token.js";
import { TokenDialog } from "./token_dialog.js";

/** @param {string} id @returns {any} */
const part = (id) => document.getElementById(id);

class Page {
  #scheduled = false;
  /** Whether what is drawn next was there before the person came. */
  #restoring = true;

  /**
   * @param {Storage | null} storage the browser's, for conversations and settings
   * @param {Storage | null} windowStorage this window's, for the token: it goes when the window goes
   */
  constructor(storage, windowStorage) {
    this.storage = storage;
    this.windowStorage = windowStorage;
    this.say = speaker(navigator.language);
    this.credentials = this.#watched(new Credentials(loadToken(windowStorage)));
    this.identity = this.#identity();
    const { say } = this;
    translate(document, say);
    translate(part("turn").content, say);
    translate(part("ask").content, say);
    this.status = new StatusView({
      badge: part("connection"), banner: part("banner"), reason: part("reason"), say,
      retryButton: part("retry"), tokenButton: part("enter-token"), onDue: () => this.#draw(),
    });
    this.log = new LogView({
      scroller: part("scroller"), list: part("log"), welcome: part("welcome"), say,
      latest: part("latest"), region: part("announcements"), template: part("turn"),
      askTemplate: part("ask"),
      session: () => this.session,
    });
    this.composer = new Composer({
      form: part("composer"), field: part("message"), sendButton: part("send"), say,
      stopButton: part("stop"), note: part("note"),
      onSend: (text) => this.#send(text), onStop: () => this.#stopNewest(),
    });
    this.drawer = new Drawer({
      dialog: part("drawer"), form: part("settings-form"), demoButton: part("demo"), say,
      cancelButton: part("drawer-cancel"), agents: part("agents"),
      onSave: (identity) => this.#change(identity),
      tokenPart: part("token-part"), tokenUntil: part("token-until"),
    });
    this.tokenDialog = new TokenDialog({
      dialog: part("token-dialog"), form: part("token-form"), field: part("token"), say,
      title: part("token-title"), more: part("token-more"), fault: part("token-fault"),
      told: part("token-told"), command: part("token-command"), copyButton: part("token-copy"),
      cancelButton: part("token-cancel"), mainButton: part("token-use"),
      check: (token, told) => this.#check(token, told), onToken: (token, told) => this.#use(token, told),
    });
    this.session = this.#openSession();
    this.#listen();
    this.composer.focus();
  }

  /** @returns {import("./identity.js").Identity} */
  #identity() {
    const { told } = this.credentials;
    const kept = loadIdentity(this.storage);
    if (told === null) return kept;
    const identity = identityWith(kept, told);
    saveIdentity(this.storage, identity);
    return identity;
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
    part("settings").addEventListener("click", () => {
      const { told } = this.credentials;
      this.drawer.open(this.identity, told, told?.agents.length ? told.agents : this.session.archive.agents());
    });
    part("token-change").addEventListener("click", () => {
      this.drawer.close();
      this.#ask();
    });
    part("enter-token").addEventListener("click", () => this.#ask());
    part("retry").addEventListener("click", () => this.session.connection.retry());
    for (const idea of document.querySelectorAll(".idea")) {
      idea.addEventListener("click", () => this.#send(idea.textContent ?? ""));
    }
  }

  #openSession() {
    const { storage, identity, credentials } = this;
    const origin = location.origin.replace(/^http/, "ws");
    const session = new Session(identity, {
      storage, origin, credentials, onChange: () => this.#schedule(),
    });
    part("agent").textContent = identity.agent;
    part("new").hidden = Boolean(credentials.told?.session);
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
    if (this.credentials.isWanted) {
      this.composer.put(text);
      return this.#ask();
    }
    this.session.send(text);
    this.log.follow();
    this.composer.focus();
  }

  /** @param {Credentials} credentials */
  #watched(credentials) {
    credentials.addEventListener("wanted", () => {
      // Whoever is writing is asked by the banner only: what they type next is not for another field.
      const isFree = this.composer.isEmpty && document.querySelector("dialog[open]") === null;
      if (isFree && credentials === this.credentials) this.#ask();
    });
    return credentials;
  }

  #ask() {
    this.tokenDialog.open(this.identity, this.credentials.isWanted ? this.credentials.reason : "");
  }

  /**
   * @param {string} token
   * @param {import("./token.js").Told} told
   * @returns {Promise<string | null>} the service's words, where it does not take the token
   */
  async #check(token, told) {
    const api = new Api(identityWith(this.identity, told), new Credentials(token));
    const answer = await api.knock();
    return isForToken(answer) ? (answer.problem?.detail ?? "") : null;
  }

  /** @param {string} token @param {import("./token.js").Told} told */
  #use(token, told) {
    keepToken(this.windowStorage, token);
    const identity = identityWith(this.identity, told);
    if (isSame(identity, this.identity)) {
      this.credentials.renew(token);
    } else {
      // A conversation goes on with tokens of the person whose it is, or not at all.
      this.credentials = this.#watched(new Credentials(token));
      this.#change(identity);
    }
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
    this.status.draw(session.connection.state, this.credentials);
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

/**
 * @param {"localStorage" | "sessionStorage"} name
 * @returns {Storage | null} null where the browser forbids it
 */
function browserStorage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}

new Page(browserStorage("localStorage"), browserStorage("sessionStorage"));
