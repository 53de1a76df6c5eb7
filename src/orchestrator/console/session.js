/**
 * A conversation as one thing: what was asked and answered, the socket that follows the log, the
 * sends on their way, and the copy in the browser's storage. Knows nothing of the page it is on.
 */

import { Api } from "./api.js";
import { Archive, readSnapshot } from "./archive.js";
import { backoff } from "./backoff.js";
import { Connection } from "./connection.js";
import { Cursor } from "./cursor.js";
import { Outbox } from "./outbox.js";
import { Stops } from "./stops.js";
import { Transcript } from "./transcript.js";
import { end, isUnsent } from "./turn.js";

const SAVE_MS = 250;
const ACK_MS = 1000;

/** @typedef {import("./turn.js").Turn} Turn */

export class Session {
  #closed = false;
  #reading = false;
  #gaps = 0;
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
   * @param {() => void} with_.onChange something to show has changed
   */
  constructor(identity, { storage, origin, onChange }) {
    this.identity = identity;
    this.origin = origin;
    this.onChange = onChange;
    this.archive = new Archive(storage, identity);
    const kept = this.archive.load();
    this.behind = kept?.behind ?? false;
    this.cursor = new Cursor(kept?.position ?? null);
    this.transcript = new Transcript(kept?.turns ?? []);
    this.#connectParts();
  }

  #connectParts() {
    const { transcript } = this;
    this.api = new Api(this.identity);
    this.connection = new Connection({
      address: () => this.#address(),
      onFrame: (frame) => this.#receive(frame),
      onState: () => this.onChange(),
    });
    this.outbox = new Outbox({
      transcript,
      api: this.api,
      keep: () => this.#keep(),
      onSettled: (position) => this.#settled(position),
    });
    this.stops = new Stops({ transcript, api: this.api, onChange: () => this.#changed() });
  }

  open() {
    this.archive.prune();
    this.connection.nudge();
    this.outbox.wake();
    this.stops.wake();
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

  /** @param {Turn} turn one that the service refused, as a new message to whom is set now */
  sendAgain(turn) {
    const { turns } = this.transcript;
    turns.splice(turns.indexOf(turn), 1);
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
    const query = new URLSearchParams({ tenant_id: tenant, tier });
    if (user !== "") query.set("user_id", user);
    if (this.cursor.position !== null) query.set("position", this.cursor.position);
    return `${this.origin}/ws/${encodeURIComponent(session)}?${query}`;
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
    if (!recovered) this.#gaps += 1;
    this.behind ||= !recovered;
    if (!recovered || this.cursor.position === null) this.cursor.reset(position);
    this.#acked = null;
    if (this.behind) this.#readLedgers();
    this.#changed();
  }

  /** @param {any} frame an error that belongs to no task: about what this page sent */
  #complain(frame) {
    if (frame.type === "error") console.warn("orchestrator:", frame.data);
  }

  /** The log could not be followed: what became of the tasks is in their ledgers. */
  async #readLedgers() {
    if (this.#reading) return;
    this.#reading = true;
    for (let tries = 1; this.behind && !this.#closed; tries += 1) {
      const gaps = this.#gaps;
      const done = await this.#readLedgersOnce();
      if (done) this.behind = gaps !== this.#gaps;
      else await new Promise((wake) => setTimeout(wake, backoff(tries)));
    }
    this.#reading = false;
    this.#changed();
  }

  /** @returns {Promise<boolean>} whether there is nothing left to ask */
  async #readLedgersOnce() {
    const answer = await this.api.session();
    if (answer.kind === "refused") return true;
    if (answer.kind !== "done") return false;
    this.transcript.settle(answer.body.tasks);
    const told = new Set(answer.body.tasks.map((/** @type {any} */ ledger) => ledger.task_id));
    const rest = this.transcript.open().filter((turn) => turn.task && !told.has(turn.task));
    const asked = await Promise.all(rest.map((turn) => this.#readLedger(turn)));
    return asked.every(Boolean);
  }

  /** @param {Turn} turn */
  async #readLedger(turn) {
    const answer = await this.api.task(/** @type {string} */ (turn.task));
    if (answer.kind === "done") this.transcript.settle([answer.body]);
    else if (answer.kind === "refused") end(turn, "forgotten", null, null);
    return answer.kind === "done" || answer.kind === "refused";
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
    const { behind, cursor, transcript } = this;
    this.archive.save({ position: cursor.position, behind, turns: transcript.turns });
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
