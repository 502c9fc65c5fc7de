import { element, icon } from "./dom.js";
import { FINAL } from "./recording.js";

const WORDS = {
  QUEUED: "Queued",
  INITIALIZING: "Starting",
  DOWNLOADING: "Fetching videos",
  PROCESSING: "Processing",
  PAUSED: "Paused",
  COMPLETED: "Done",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
};
const UNDER_WAY = new Set(["DOWNLOADING", "PROCESSING"]);

/** A task's state as a pill. */
export function statePill({ status, progress }) {
  const percent = UNDER_WAY.has(status) ? ` ${Math.floor(100 * progress)} %` : "";
  return element("span", { class: "pill", data: { state: status } }, `${WORDS[status] ?? status}${percent}`);
}

/** What the task does now, where its state does not say it all. */
export function stepWords({ status, current_step: step, details, total_sub_video_batches: total, completed_sub_video_batches: done }) {
  if (details?.error) return details.error;
  if (FINAL.has(status)) return "";
  return UNDER_WAY.has(status) && total ? `sub-video ${Math.min(done + 1, total)} of ${total}` : step;
}

/** The task at the top of the page: its state, how far it is, and what an operator may do with it. */
export class TaskBar {
  /** `onControl(action)`: pause, resume or cancel. */
  constructor(onControl) {
    this._pill = element("span", {});
    this._progress = element("progress", { max: 1, value: 0 });
    this._progress.setAttribute("aria-label", "Progress of the task");
    this._step = element("span", { class: "step" });
    this._hold = element("button", { class: "ghost", type: "button", onclick: () => onControl(this._action) });
    this._cancel = element("button", { class: "ghost", type: "button", title: "Cancel processing", onclick: () => this._question.showModal() }, icon("stop"));
    this._cancel.setAttribute("aria-label", "Cancel processing");
    this._question = this._makeQuestion(onControl);
    this.parts = [this._pill, this._progress, this._step, this._hold, this._cancel, this._question];
  }

  /** Only what changes is touched, so that nobody loses the button under their finger. */
  show(status) {
    const pill = statePill(status);
    this._pill.replaceWith(pill);
    this._pill = pill;
    const final = FINAL.has(status.status);
    for (const part of [this._progress, this._hold, this._cancel]) part.hidden = final;
    if (final) this._question.close();
    this._progress.value = status.progress;
    this._progress.title = `${Math.round(100 * status.progress)} %`;
    const absent = [status.details?.absent].flat().filter(Boolean).join("; ");
    const words = status.status === "FAILED" ? "" : stepWords(status); // the banner says why
    this._step.textContent = absent && words ? `${words} (${absent})` : absent || words;
    this._step.title = absent || words;
    this._showHold(status.status === "PAUSED" ? "resume" : "pause");
  }

  _showHold(action) {
    if (action === this._action) return;
    this._action = action;
    const label = action === "resume" ? "Resume processing" : "Pause processing";
    this._hold.title = label;
    this._hold.setAttribute("aria-label", label);
    this._hold.replaceChildren(icon(action === "resume" ? "play" : "pause"));
  }

  _makeQuestion(onControl) {
    const answer = (chosen, words, act) => {
      const onclick = () => {
        this._question.close();
        act?.();
      };
      return element("button", { class: chosen, type: "button", onclick }, words);
    };
    const dialog = element(
      "dialog",
      { class: "panel question", aria: { label: "Cancel this task?" } },
      element("h2", {}, "Cancel this task?"),
      element("p", {}, "What was found so far stays. The rest of the recording is not processed, and a cancelled task cannot be resumed."),
      element("div", { class: "answers" }, answer("secondary", "Go on processing"), answer("danger", "Cancel the task", () => onControl("cancel"))),
    );
    return dialog;
  }
}
