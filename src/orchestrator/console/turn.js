/** One turn of the conversation: a question, and what became of its task. Pure: data in, data out. */

import { closeAsks, noteAsk, settleAsks } from "./asks.js";

/**
 * @typedef {object} Turn
 * @property {string} key the message's Idempotency-Key; of a task asked elsewhere, the task's id
 * @property {string | null} question null: it was asked elsewhere, and the log does not tell
 * @property {string} agent
 * @property {string} user
 * @property {number} askedAt milliseconds since 1970
 * @property {string | null} task its task's id, once accepted
 * @property {string | null} acceptedAt
 * @property {string} status the task's, or `sending`, `refused`, `unsent`, `forgotten` of our own
 * @property {number} attempt
 * @property {string} answer
 * @property {boolean} partial pieces of the answer may be missing until the ending brings it whole
 * @property {string | null} detail what the agent says of its progress
 * @property {number | null} queuePosition
 * @property {{reason: string | null, eta: [number, number] | null} | null} wait why no agent has it yet
 * @property {string | null} code
 * @property {string | null} message
 * @property {Source[]} sources
 * @property {number | null} seconds
 * @property {number | null} tokens
 * @property {import("./asks.js").Ask[]} asks what the agent asks of the person, oldest first
 * @property {boolean} uncertain a send is out whose outcome is not known
 * @property {boolean} stopping the person asked to stop it
 * @property {number | null} retryAt milliseconds since 1970; the next try to send it
 * @property {number} revision rises with every change, for whoever draws it
 */

/** @typedef {{title: string, url: string | null}} Source */

const ENDED = new Set([
  "completed", "failed", "timeout", "cancelled", "refused", "unsent", "forgotten",
]);

const FRUITLESS = new Set(["failed", "timeout", "refused", "unsent", "forgotten"]);

/**
 * @param {Partial<Turn> & {key: string}} known
 * @returns {Turn}
 */
export function newTurn(known) {
  return {
    question: null, agent: "", user: "", askedAt: Date.now(), task: null, acceptedAt: null,
    status: "sending", attempt: 0, answer: "", partial: false, detail: null, queuePosition: null,
    wait: null, code: null, message: null, sources: [], seconds: null, tokens: null,
    asks: [], uncertain: false, stopping: false, retryAt: null, revision: 0,
    ...known,
  };
}

/** @param {Turn} turn */
export function isEnded(turn) {
  return ENDED.has(turn.status);
}

/** @param {Turn} turn @returns {boolean} whether asking the same once more could help */
export function isRepeatable(turn) {
  return turn.question !== null && FRUITLESS.has(turn.status);
}

/** @param {Turn} turn */
export function isUnsent(turn) {
  return turn.status === "sending" && turn.task === null;
}

/**
 * Let one event of the task act on its turn. After the ending nothing does: it ends once.
 *
 * @param {Turn} turn
 * @param {string} type of the frame
 * @param {Record<string, any>} data of the frame
 */
export function act(turn, type, data) {
  if (isEnded(turn)) return;
  if (type === "task_update") update(turn, data);
  else if (type === "agent_chunk") extend(turn, data);
  else if (type === "agent_response") complete(turn, data);
  else if (type === "error") fail(turn, data);
  turn.revision += 1;
}

/**
 * Let a ledger act on its turn, where the events themselves can no longer be had.
 *
 * @param {Turn} turn
 * @param {Record<string, any>} ledger
 */
export function settle(turn, ledger) {
  if (isEnded(turn)) return;
  const figures = { execution_time: ledger.execution_time, tokens_used: ledger.tokens_used };
  if (ledger.status === "completed") complete(turn, { ...ledger.result, ...figures });
  else if (ENDED.has(ledger.status)) fail(turn, endingOf(ledger));
  else reopen(turn, ledger);
  turn.revision += 1;
}

/**
 * @param {Turn} turn
 * @param {string} status
 * @param {string | null} code
 * @param {string | null} message
 */
export function end(turn, status, code, message) {
  Object.assign(turn, { status, code, message, stopping: false, retryAt: null, uncertain: false, wait: null });
  closeAsks(turn);
  turn.revision += 1;
}

/** @param {Turn} turn @param {Record<string, any>} data */
function update(turn, data) {
  if (data.status === "retrying" || data.attempt > turn.attempt) discard(turn);
  turn.attempt = Math.max(turn.attempt, data.attempt ?? 0);
  const isOfAsk = noteAsk(turn, data);
  turn.status = data.status === "progress" ? atWork(turn) : (data.status ?? turn.status);
  turn.detail = words(isOfAsk ? null : data.detail);
  noteWait(turn, data);
}

/** @param {Turn} turn @param {Record<string, any>} data */
function extend(turn, data) {
  if (data.attempt < turn.attempt) return;
  if (data.attempt > turn.attempt) discard(turn);
  turn.attempt = data.attempt ?? turn.attempt;
  turn.status = atWork(turn);
  turn.wait = null;
  turn.answer += data.delta ?? "";
}

/** What goes on beside a question does not end the waiting. @param {Turn} turn */
function atWork(turn) {
  return turn.status === "input_required" ? turn.status : "running";
}

/** @param {Turn} turn @param {Record<string, any>} data */
function complete(turn, data) {
  turn.answer = words(data.response) ?? turn.answer;
  turn.partial = false;
  turn.sources = (Array.isArray(data.sources) ? data.sources : []).map(source);
  turn.seconds = data.execution_time ?? null;
  turn.tokens = data.tokens_used?.total ?? null;
  end(turn, "completed", null, null);
}

/** @param {Turn} turn @param {Record<string, any>} data */
function fail(turn, data) {
  end(turn, data.status ?? "failed", data.code ?? null, data.message ?? null);
}

/** @param {Turn} turn @param {Record<string, any>} ledger */
function reopen(turn, ledger) {
  if (ledger.attempt > turn.attempt) discard(turn);
  turn.attempt = ledger.attempt ?? turn.attempt;
  turn.status = ledger.status;
  noteWait(turn, ledger);
  settleAsks(turn, ledger.input_required);
  turn.partial = ledger.status !== "queued" && ledger.status !== "accepted";
}

/** @param {Turn} turn @param {Record<string, any>} told an update or a ledger */
function noteWait(turn, told) {
  const reason = told.waiting_for ?? null;
  const eta = told.eta_seconds ?? null;
  turn.queuePosition = told.queue_position ?? null;
  turn.wait = reason === null && eta === null ? null : { reason, eta };
}

/** @param {Turn} turn */
function discard(turn) {
  turn.answer = "";
  turn.partial = false;
}

/** @param {Record<string, any>} ledger */
function endingOf(ledger) {
  const error = typeof ledger.error === "string" ? { message: ledger.error } : ledger.error;
  return { ...error, status: ledger.status, code: ledger.code ?? error?.code };
}

/**
 * @param {unknown} value an agent's own: a text, or any JSON
 * @returns {string | null}
 */
function words(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return value;
  const text = /** @type {Record<string, unknown>} */ (value).message;
  return typeof text === "string" ? text : JSON.stringify(value, null, 2);
}

/**
 * @param {any} value an agent's own: a text or an object with a title, a name or an address
 * @returns {Source}
 */
function source(value) {
  if (typeof value === "string") return { title: value, url: webAddress(value) };
  const url = webAddress(value?.url ?? value?.href);
  return { title: String(value?.title ?? value?.name ?? url ?? JSON.stringify(value)), url };
}

/**
 * @param {unknown} text
 * @returns {string | null} an address that is safe to follow; `javascript:` is not
 */
function webAddress(text) {
  return typeof text === "string" && /^https?:\/\//i.test(text) ? text : null;
}
