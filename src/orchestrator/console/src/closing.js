/** What a page does when the server has closed the socket, by close code. */

/**
 * @typedef {object} Verdict
 * @property {"retry" | "wait" | "refused" | "done"} action
 *   `retry` after a back-off, `wait` as long as the server says, `refused`: not by itself again
 * @property {number} [ms] how long to wait
 * @property {string} [reason] the server's words, for the person in front of the page
 */

const ENDINGS = new Map([
  [1000, "done"],
  [4400, "refused"],
  [4401, "refused"],
  [4403, "refused"],
]);
const PATIENT = new Set([1012, 1013, 4429]);

/**
 * @param {number} code
 * @param {string} reason
 * @returns {Verdict}
 */
export function judge(code, reason) {
  const ending = ENDINGS.get(code);
  if (ending) return { action: /** @type {"refused" | "done"} */ (ending), reason };
  const ms = PATIENT.has(code) ? retryAfter(reason) : null;
  return ms === null ? { action: "retry" } : { action: "wait", ms };
}

/**
 * @param {string} reason JSON, `{"retry_after_ms": n}`
 * @returns {number | null}
 */
function retryAfter(reason) {
  try {
    const ms = JSON.parse(reason).retry_after_ms;
    return Number.isFinite(ms) && ms >= 0 ? ms : null;
  } catch {
    return null;
  }
}
