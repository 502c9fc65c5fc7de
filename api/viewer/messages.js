import { Feed } from "./feed.js";
import { Past } from "./past.js";

/** All that was ever said of a task, told to its recording in order: live, and out of history what the log has lost. */
export class Messages {
  /** `onTold(type)` after each message, `onChange()` when `connection` or `trouble` is another. */
  constructor(recording, { onTold, onChange, onRefused }) {
    this.connection = null; // a kind of Feed's states
    this.trouble = ""; // why something is missing, in words
    this._recording = recording;
    this._onTold = onTold;
    this._onChange = onChange;
    this._onRefused = onRefused;
    this._held = null; // messages that wait for earlier ones
    this._feed = new Feed(recording.taskId, (message) => this._take(message), (state) => this._connected(state));
  }

  open() {
    this._feed.open();
  }

  close() {
    this._closed = true;
    this._feed.close();
    this._past?.close();
  }

  _connected({ kind, text, status }) {
    this.connection = kind;
    if (kind === "ended") this._ended();
    this._connectionTrouble = ["waiting", "refused"].includes(kind) ? text : "";
    this._changed();
    if (status === 401) this._onRefused({ status, message: text });
  }

  _ended() {
    this._recording.ended = true;
    this._recording.version += 1;
  }

  _take(message) {
    if (message.type === "messages_lost") return this._recall();
    if (this._held && message.type !== "status_update") return this._held.push(message);
    this._tell(message);
  }

  _tell(message) {
    this._onTold(this._recording.take(message));
  }

  async _recall() {
    if (this._past) return;
    const recording = this._recording;
    this._held = [];
    recording.filling = true;
    const onTrouble = (text) => {
      this._pastTrouble = text;
      this._changed();
    };
    this._past = new Past(recording.taskId, (message) => this._tell(message), onTrouble);
    const firstHeld = () => this._held.find(({ type }) => type === "tracking_update")?.payload.global_frame_index ?? Infinity;
    this._forgotten = !(await this._past.tell(recording.lastFrame + 1, firstHeld));
    if (this._closed) return;
    const held = this._held;
    this._held = this._past = null;
    recording.filling = false;
    recording.version += 1;
    for (const message of held) this._tell(message);
    this._changed();
  }

  _changed() {
    this.trouble = this._connectionTrouble || this._pastTrouble || this._forgottenWords();
    this._onChange();
  }

  _forgottenWords() {
    if (!this._forgotten) return "";
    if (this._recording.batches.length) return "The first results of this task are no longer kept: what is shown begins later.";
    return "What this task saw is no longer kept, so it cannot be watched: start it again.";
  }
}
