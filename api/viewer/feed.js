import * as server from "./server.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const PING_EVERY_MS = 15_000;
const SILENCE_MS = 40_000;
const NORMAL = 1000;

/**
 * A task's messages, in order and each once, for as long as it takes: a lost connection is taken up again after the
 * last `seq`, with growing pauses, and `/health` says what is wrong meanwhile.
 *
 * `onState({kind, text})`: kind is connecting, live, waiting, ended or refused.
 */
export class Feed {
  constructor(taskId, onMessage, onState) {
    this.taskId = taskId;
    this.lastSeq = 0;
    this._onMessage = onMessage;
    this._onState = onState;
    this._failures = 0;
    this._closed = false;
    this._again = null; // ends a pause at once
    this._online = () => this._again?.();
    window.addEventListener("online", this._online);
  }

  open() {
    this._run();
  }

  close() {
    this._closed = true;
    window.removeEventListener("online", this._online);
    this._socket?.close();
    this._again?.();
  }

  async _run() {
    this._onState({ kind: "connecting", text: "Connecting …" });
    while (!this._closed) {
      const ended = await this._connection();
      if (this._closed) return;
      if (ended) return this._onState({ kind: "ended", text: "All results are here." });
      if (!(await this._mayTryAgain())) return;
    }
  }

  /** One connection for as long as it holds; true when the task has ended. */
  async _connection() {
    let url;
    try {
      url = await server.trackingUrl(this.taskId, this.lastSeq);
    } catch {
      return false;
    }
    return new Promise((done) => {
      const socket = (this._socket = new WebSocket(url));
      let heard = performance.now();
      const watch = setInterval(() => {
        if (performance.now() - heard > SILENCE_MS) socket.close();
        else if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"ping"}');
      }, PING_EVERY_MS);
      socket.onopen = () => this._onState({ kind: "live", text: "Live" });
      socket.onmessage = ({ data }) => {
        heard = performance.now();
        this._failures = 0;
        this._take(JSON.parse(data));
      };
      socket.onclose = ({ code }) => {
        clearInterval(watch);
        done(code === NORMAL);
      };
    });
  }

  _take(message) {
    const repeated = message.seq !== null && message.seq <= this.lastSeq && message.type === "tracking_update";
    if (message.seq > this.lastSeq) this.lastSeq = message.seq;
    if (!repeated) this._onMessage(message);
  }

  /** Waits before the next try, saying why; false when there is no use in trying. */
  async _mayTryAgain() {
    const refusal = await this._refusal();
    if (refusal) {
      this._onState({ kind: "refused", text: refusal.message, status: refusal.status });
      return false;
    }
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this._failures, LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
    this._failures += 1;
    const why = await whatIsWrong();
    this._onState({ kind: "waiting", text: `${why} Next try in ${Math.max(1, Math.round(pause / 1000))} s.` });
    await new Promise((resolve) => {
      this._again = resolve;
      setTimeout(resolve, pause);
    });
    return true;
  }

  /** The server's no to this task, if it says one: unknown, or not for whoever asks. */
  async _refusal() {
    try {
      await server.status(this.taskId);
    } catch (error) {
      if ([401, 403, 404].includes(error.status)) return error;
    }
    return null;
  }
}

async function whatIsWrong() {
  try {
    const { status, components } = await server.health();
    if (status === "healthy") return "The connection was lost.";
    const down = Object.entries(components).filter(([, part]) => part.status !== "up");
    return `Not everything is up: ${down.map(([name]) => name.replaceAll("_", " ")).join(", ")}.`;
  } catch {
    return "The server does not answer.";
  }
}
