/**
 * A conversation as one thing: what was asked and answered, the socket that follows the log, the
 * sends on their way, and the copy in the browser's storage. Knows nothing of the page it is on.
 */

import { Answers } from "./answers.js";
import { Api } from "./api.js";
import { Archive, readSnapshot } from "./archive.js";
import { Connection } from "./connection.js";
import { Cursor } from "./cursor.js";
import { Ledgers } from "./ledgers.js";
import { Outbox } from "./outbox.js";
import { Stops } from "./stops.js";
import { Transcript } from "./transcript.js";
import { end, isUnsent } from "./turn.js";

const SAVE_MS = 250;
const ACK_MS = 1000;

/** @typedef {import("./turn.js").Turn} Turn */

export class Session {
  #closed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #saving;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #acking;
  /** @type {string | null} */
  #shown = null;
  /** @type {string | null} */
  #acked = null;

  /**
   * @param {import("./identity.js").Identity} identity
   * @param {object} with_
   * @param {Storage | null} with_.storage
   * @param {string} with_.origin of the service, `ws://…` or `wss://…`
   * @param {import("./credentials.js").Credentials} with_.credentials
   * @param {() => void} with_.onChange something to show has changed
   */
  constructor(identity, { storage, origin, credentials, onChange }) {
    this.identity = identity;
    this.origin = origin;
    this.credentials = credentials;
    this.onChange = onChange;
    this.archive = new Archive(storage, identity);
    const kept = this.archive.load();
    this.cursor = new Cursor(kept?.position ?? null);
    this.transcript = new Transcript(kept?.turns ?? []);
    this.api = new Api(identity, credentials);
    const parts = { transcript: this.transcript, api: this.api, onChange: () => this.#changed() };
    this.stops = new Stops(parts);
    this.answers = new Answers(parts);
    this.ledgers = new Ledgers({ ...parts, behind: kept?.behind ?? false });
    this.connection = new Connection({
      address: () => this.#address(),
      token: () => credentials.token,
      onFrame: (frame) => this.#receive(frame),
      onUnauthorized: (token, reason) => this.#unauthorized(token, reason),
      onState: () => this.onChange(),
    });
    this.outbox = new Outbox({
      ...parts,
      keep: () => this.#keep(),
      onSettled: (position) => this.#settled(position),
    });
  }

  open() {
    this.archive.prune();
    this.credentials.addEventListener("wanted", () => this.#bar());
    this.credentials.addEventListener("renewed", () => this.#renew());
    if (this.credentials.isWanted) this.connection.bar();
    else this.#connect();
    this.outbox.wake();
    this.stops.wake();
    this.answers.wake();
  }

  /** Stop following. What was asked is still sent, as long as the page lives. */
  close() {
    this.#closed = true;
    this.connection.stop();
    clearTimeout(this.#acking);
    this.#keep();
  }

  /** @param {string} question */
  send(question) {
    this.transcript.ask(question, this.identity);
    // A log followed from "now" would miss the events of a task accepted a moment before, and the
    // answer to the send says where it begins.
    if (this.cursor.position === null) this.connection.hold();
    this.#keep();
    this.outbox.wake();
  }

  /** @param {Turn} turn one that came to nothing, as a new message to whom is set now */
  sendAgain(turn) {
    const { turns } = this.transcript;
    // What became a task stays where it is: the log and other windows have it too.
    if (turn.task === null) turns.splice(turns.indexOf(turn), 1);
    this.send(turn.question ?? "");
  }

  /** @param {Turn} turn */
  stop(turn) {
    turn.stopping = true;
    turn.revision += 1;
    if (isUnsent(turn) && !turn.uncertain) end(turn, "unsent", null, null);
    this.#settled(null);
    this.outbox.wake();
  }

  /** @param {Turn} turn @param {import("./asks.js").Ask} ask @param {any} answer */
  answer(turn, ask, answer) {
    Object.assign(ask, { state: "sending", answer, fault: null });
    turn.revision += 1;
    this.#keep();
    this.answers.wake();
  }

  /** The network or the person is back: look at once whether the service is. */
  nudge() {
    if (this.#closed) return;
    this.connection.nudge();
    this.outbox.nudge();
  }

  /** @param {string} position everything up to here has been painted */
  shown(position) {
    this.#shown = position;
    if (this.#acking === undefined && this.#shown !== this.#acked) this.#acknowledge();
  }

  /** @param {string | null} text what another window of this session has written down */
  adopt(text) {
    const theirs = readSnapshot(text);
    if (theirs && this.transcript.adopt(theirs.turns)) this.#changed();
  }

  /** Write down what is only in memory: the page may be gone in a moment. */
  keep() {
    if (this.#saving !== undefined) this.#keep();
  }

  /** @returns {string | null} null while the answer to a send will say where to begin */
  #address() {
    const { tenant, tier, session, user } = this.identity;
    if (this.#closed || (this.cursor.position === null && this.transcript.unsent())) return null;
    const stated = { tenant_id: tenant, tier, ...(user === "" ? {} : { user_id: user }) };
    const query = new URLSearchParams(this.credentials.mustState ? stated : {});
    if (this.cursor.position !== null) query.set("position", this.cursor.position);
    return `${this.origin}/ws/${encodeURIComponent(session)}?${query}`;
  }

  #connect() {
    // Beside the socket: that would tell only after seconds that it waits for a token.
    if (this.credentials.token === null) this.#knock();
    this.connection.nudge();
  }

  /** Whether a token is needed, an answer to any request tells, and the credentials learn it. */
  #knock() {
    void this.api.knock();
  }

  /** @param {string | null} token @param {string} reason */
  #unauthorized(token, reason) {
    if (token !== this.credentials.token) this.connection.retry();
    else if (token === null) this.#knock();
    else this.credentials.refuse(token, reason);
  }

  #bar() {
    if (!this.#closed && this.connection.state.name !== "connected") this.connection.bar();
    this.onChange();
  }

  #renew() {
    this.outbox.wake();
    if (!this.#closed) this.connection.authenticate();
    this.onChange();
  }

  /** @param {any} frame */
  #receive(frame) {
    if (frame.type === "connection_ack") return this.#acknowledged(frame.data);
    if (typeof frame.position !== "string") return this.#complain(frame);
    const verdict = this.cursor.take(frame.position, frame.covers);
    if (verdict === "hole") return this.connection.distrust();
    if (verdict === "seen") return;
    this.transcript.apply(frame);
    this.#changed();
  }

  /** @param {{recovered: boolean, position: string}} data */
  #acknowledged({ recovered, position }) {
    if (!recovered) this.ledgers.gap();
    if (!recovered || this.cursor.position === null) this.cursor.reset(position);
    this.#acked = null;
    this.ledgers.catchUp();
    this.#changed();
  }

  /** @param {any} frame an error that belongs to no task: about what this page sent */
  #complain(frame) {
    if (frame.type === "error") console.warn("orchestrator:", frame.data);
  }

  /** @param {string | null} position where the log stood before the task; null: refused */
  #settled(position) {
    if (this.cursor.position === null && position !== null) this.cursor.reset(position);
    this.#keep();
    this.stops.wake();
    if (!this.#closed && this.connection.state.name !== "connected") this.connection.nudge();
  }

  #changed() {
    this.#saving ??= setTimeout(() => this.#keep(), SAVE_MS);
    this.onChange();
  }

  #keep() {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    this.archive.save({
      position: this.cursor.position,
      behind: this.ledgers.behind,
      turns: this.transcript.turns,
    });
    this.onChange();
  }

  #acknowledge() {
    this.connection.send({ type: "ack", position: this.#shown });
    this.#acked = this.#shown;
    this.#acking = setTimeout(() => {
      this.#acking = undefined;
      if (this.#shown !== this.#acked) this.#acknowledge();
    }, ACK_MS);
  }
}
