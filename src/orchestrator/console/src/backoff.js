/**
 * How long to wait before the next try: full jitter, so that thousands of pages which lost one
 * server at the same moment do not come back at the same moment.
 */

const FIRST_MS = 500;
const CAP_MS = 20_000;

/**
 * @param {number} tries how many have failed so far, from 1
 * @param {() => number} [random]
 * @returns {number} milliseconds, between 0 and a bound that doubles up to 20 s
 */
export function backoff(tries, random = Math.random) {
  const bound = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(tries - 1, 10));
  return Math.round(random() * bound);
}
