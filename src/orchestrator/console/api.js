/** The service's HTTP routes that the page uses. Every answer is a value; nothing here throws. */

import { backoff } from "./backoff.js";

// The service answers within 5 s; what takes twice that is lost on the way.
const ANSWER_MS = 10_000;

/**
 * @typedef {object} Answer
 * @property {"done" | "refused" | "later" | "unknown"} kind
 *   `later`: certainly without effect, may be repeated; `unknown`: whether it had one can't be told
 * @property {any} [body] of what was done
 * @property {Problem} [problem]
 * @property {number | null} [after] seconds to wait before a repetition
 */

/** @typedef {{status: number, code: string | null, detail: string}} Problem */

export class Api {
  /**
   * @param {import("./identity.js").Identity} identity
   * @param {import("./credentials.js").Credentials} credentials told of a token that is refused
   */
  constructor(identity, credentials) {
    this.identity = identity;
    this.credentials = credentials;
  }

  /**
   * @param {import("./turn.js").Turn} turn
   * @returns {Promise<Answer>}
   */
  send(turn) {
    const headers = this.#headers(turn.agent, turn.user);
    headers.set("Content-Type", "application/json");
    headers.set("Idempotency-Key", turn.key);
    const body = JSON.stringify({ message: turn.question });
    return this.#call("/api/chat/send", { method: "POST", headers, body });
  }

  /** @param {string} task */
  cancel(task) {
    const path = `/api/chat/tasks/${encodeURIComponent(task)}/cancel`;
    return this.#call(path, { method: "POST", headers: this.#headers() });
  }

  /** @param {string} task @param {string} question @param {any} answer */
  answer(task, question, answer) {
    const path = `/api/chat/tasks/${encodeURIComponent(task)}/answer`;
    const headers = this.#headers();
    headers.set("Content-Type", "application/json");
    return this.#call(path, { method: "POST", headers, body: JSON.stringify({ question, answer }) });
  }

  /** @param {string} task */
  task(task) {
    const path = `/api/chat/tasks/${encodeURIComponent(task)}`;
    return this.#call(path, { headers: this.#headers() });
  }

  session() {
    const path = `/api/chat/sessions/${encodeURIComponent(this.identity.session)}`;
    return this.#call(path, { headers: this.#headers() });
  }

  /** Find out whether the service lets one in; what it answers else does not matter. */
  knock() {
    return this.#call("/api/chat/stats", { headers: this.#headers() });
  }

  /**
   * Return when another try makes sense: after a back-off, and with a token that may be taken.
   *
   * @param {number} tries
   */
  async pause(tries) {
    await new Promise((wake) => setTimeout(wake, backoff(tries)));
    await this.credentials.ready();
  }

  /** @param {string} [agent] @param {string} [user] */
  #headers(agent = this.identity.agent, user = this.identity.user) {
    const headers = new Headers({
      "X-Agent-ID": agent,
      "X-Session-ID": this.identity.session,
      "X-Request-Source": "console",
    });
    if (!this.credentials.mustState) return headers;
    headers.set("X-Tenant-ID", this.identity.tenant);
    headers.set("X-Tenant-Tier", this.identity.tier);
    if (user !== "") headers.set("X-User-ID", user);
    return headers;
  }

  /**
   * @param {string} path
   * @param {RequestInit & {headers: Headers}} init
   * @returns {Promise<Answer>}
   */
  async #call(path, init) {
    const { token } = this.credentials;
    if (token !== null) init.headers.set("Authorization", `Bearer ${token}`);
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const response = await fetch(path, { ...init, signal, cache: "no-store" });
      const answer = read(response, await response.json().catch(() => null));
      if (isForToken(answer)) this.credentials.refuse(token, answer.problem?.detail ?? "");
      return answer;
    } catch {
      return { kind: "unknown", after: null };
    }
  }
}

/** @param {Answer} answer @returns {boolean} whether it wants a token, or another one */
export function isForToken(answer) {
  return answer.kind === "later" && answer.problem?.status === 401;
}

/**
 * @param {Response} response
 * @param {any} body
 * @returns {Answer}
 */
function read(response, body) {
  if (response.ok && body !== null) return { kind: "done", body };
  const problem = { status: response.status, code: body?.code ?? null, detail: sentence(body) };
  const after = seconds(response.headers.get("Retry-After") ?? body?.retry_after);
  const asksForToken = response.status === 401 && isBearer(response);
  const harmless = asksForToken || response.status === 429 || body?.code === "unavailable";
  if (harmless) return { kind: "later", problem, after };
  if (response.status >= 400 && response.status < 500) return { kind: "refused", problem };
  return { kind: "unknown", problem, after };
}

/** @param {Response} response */
function isBearer(response) {
  return /^bearer\b/i.test(response.headers.get("WWW-Authenticate") ?? "");
}

/** @param {any} body of a problem */
function sentence(body) {
  const lists = [body?.missing, body?.allowed].filter(Array.isArray).map((list) => list.join(", "));
  return [body?.detail ?? body?.title, ...lists].filter(Boolean).join(" · ");
}

/** @param {unknown} value */
function seconds(value) {
  const number = Number(value ?? NaN);
  return Number.isFinite(number) && number >= 0 ? number : null;
}
