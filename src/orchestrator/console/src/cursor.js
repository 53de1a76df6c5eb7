/**
 * Where this page stands in the session's log, and the proof that nothing is missing before it:
 * the offset of each event is the last one's plus what the event covers.
 */

const FORM = /^(.+):(\d+)-[^:]*$/;

/**
 * @param {string} position
 * @returns {{epoch: string, offset: number} | null} null where it is unreadable
 */
export function place(position) {
  const found = FORM.exec(position);
  return found ? { epoch: found[1], offset: Number(found[2]) } : null;
}

export class Cursor {
  /** @param {string | null} [position] kept whole: the server reads more from it than we do */
  constructor(position = null) {
    this.position = position;
  }

  /** @param {string} position where to go on from, whatever came before */
  reset(position) {
    this.position = position;
  }

  /**
   * Judge an event, and move on to it when it is the next one.
   *
   * @param {string} position
   * @param {number} [covers] how many events it stands for
   * @returns {"next" | "seen" | "hole"} on a hole the cursor stays at the last good position
   */
  take(position, covers = 1) {
    const verdict = this.#judge(place(position), covers);
    if (verdict === "next") this.position = position;
    return verdict;
  }

  /**
   * @param {{epoch: string, offset: number} | null} next
   * @param {number} covers
   * @returns {"next" | "seen" | "hole"}
   */
  #judge(next, covers) {
    const last = this.position === null ? null : place(this.position);
    if (next === null || last === null || next.epoch !== last.epoch) return "hole";
    if (next.offset <= last.offset) return "seen";
    return next.offset === last.offset + covers ? "next" : "hole";
  }
}
