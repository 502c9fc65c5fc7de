import * as server from "./server.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

/** What a task's message log no longer holds, asked of history piece by piece, and told as the same messages. */
export class Past {
  /** `onMessage(message)` for each; `onTrouble(text | null)` while history cannot be asked. */
  constructor(taskId, onMessage, onTrouble) {
    this._taskId = taskId;
    this._onMessage = onMessage;
    this._onTrouble = onTrouble;
    this._closed = false;
  }

  /** Tells frames from `first` on, up to before `reached()`, which is known from elsewhere; false where there are none. */
  async tell(first, reached) {
    const media = await this._ask(() => server.media(this._taskId));
    if (!media?.length) return false;
    for (const payload of media) this._onMessage({ type: "media_available", payload });
    for (let from = first; from !== null && from < reached(); ) {
      const page = await this._ask(() => server.ticks(this._taskId, from));
      if (!page) return true;
      for (const payload of page.ticks) this._onMessage({ type: "tracking_update", payload });
      from = page.next;
    }
    return true;
  }

  close() {
    this._closed = true;
  }

  /** An answer, however long that takes; null once nobody waits for it, or where the server says no. */
  async _ask(question) {
    for (let pause = FIRST_PAUSE_MS; !this._closed; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        const answer = await question();
        this._onTrouble(null);
        return this._closed ? null : answer;
      } catch (error) {
        this._onTrouble(`What was seen earlier cannot be read: ${error.message}`);
        if ([401, 403, 404].includes(error.status)) return null;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    return null;
  }
}
