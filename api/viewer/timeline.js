import { clockTime, element } from "./dom.js";
import { personColour, personName } from "./people.js";

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const LABEL_EVERY_PX = 80;

/** When each camera saw whom: a row for every person, in it a lane for every camera; and the position over all. */
export class Timeline {
  /** `onPick(globalId)`, `onSeek(position)`. */
  constructor(recording, cameraIds, onPick, onSeek) {
    this._recording = recording;
    this._cameraIds = cameraIds;
    this._onPick = onPick;
    this._onSeek = onSeek;
    this._focus = null;
    this._rows = new Map(); // global id -> {row, lanes, state}
    this._axis = element("div", { class: "axis" });
    this._known = element("div", { class: "known" });
    this._head = element("div", { class: "playhead" });
    this._slider = element("div", {
      class: "slider",
      tabIndex: 0,
      role: "slider",
      aria: { label: "Position in the recording", valuemin: "0", valuemax: "0", valuenow: "0" },
    });
    this._slider.append(this._known, this._axis);
    this._list = element("div", { class: "rows", role: "list", aria: { label: "People" } });
    this._empty = element("p", { class: "notice" });
    const top = element("div", { class: "timeline-head" }, element("span", { class: "corner" }, "People"), this._slider);
    const whole = element("div", { class: "timeline-whole" }, top, this._list, this._empty, this._head);
    this._body = element("div", { class: "timeline-body" }, whole);
    this.element = element("section", { class: "timeline panel", aria: { label: "Timeline" } }, this._body);
    this._scrub(this._slider);
    this._slider.addEventListener("keydown", (event) => this._onKey(event));
  }

  set focus(globalId) {
    this._focus = globalId;
    for (const [id, known] of this._rows) this._mark(id, known);
    if (this._rows.has(globalId)) this._reveal(this._rows.get(globalId).row);
  }

  /** Draws rows that changed; to be called now and then. */
  refresh() {
    const { people, duration, knownUntil } = this._recording;
    this._empty.hidden = people.size > 0;
    this._empty.textContent = this._recording.ended ? "Nobody was identified." : "Nobody has been identified yet.";
    for (const person of people.values()) this._row(person, duration);
    this._sort(people);
    for (const [globalId, { row }] of this._rows) {
      if (people.has(globalId)) continue;
      row.remove();
      this._rows.delete(globalId);
    }
    this._known.style.width = `${duration ? (100 * knownUntil) / duration : 0}%`;
    this._drawAxis(duration);
  }

  /** Puts the position where it is now. */
  draw(position) {
    this._position = position;
    const { duration } = this._recording;
    const share = duration ? position / duration : 0;
    this._head.style.setProperty("--share", share.toFixed(5));
    this._slider.setAttribute("aria-valuemax", duration.toFixed(1));
    this._slider.setAttribute("aria-valuenow", position.toFixed(1));
    this._slider.setAttribute("aria-valuetext", `${clockTime(position)} of ${clockTime(duration)}`);
  }

  /** Who was seen earlier stands above, as the keys have it; rows are moved only where that has changed. */
  _sort(people) {
    let next = this._list.firstChild;
    for (const globalId of people.keys()) {
      const { row } = this._rows.get(globalId);
      if (row === next) next = next.nextSibling;
      else this._list.insertBefore(row, next);
    }
  }

  _row(person, duration) {
    const { globalId, sightings } = person;
    const known = this._rows.get(globalId) ?? this._makeRow(globalId);
    const state = JSON.stringify([duration, [...sightings]]);
    if (known.state === state) return;
    known.state = state;
    known.lanes.replaceChildren(
      ...this._cameraIds.map((cameraId) =>
        element(
          "div",
          { class: "lane", title: cameraId, data: { lane: cameraId } },
          ...(sightings.get(cameraId) ?? []).map(({ from, to }) => this._span(globalId, cameraId, from, to, duration)),
        ),
      ),
    );
    const cameras = [...sightings.keys()];
    known.button.title = `Seen by ${cameras.join(", ")}`;
    known.button.setAttribute("aria-label", `Person ${personName(globalId)}, seen by ${cameras.join(", ")}`);
  }

  _span(globalId, cameraId, from, to, duration) {
    const [start, end] = [this._recording.positionOf(from), this._recording.positionOf(to + 1)];
    const span = element("div", { class: "span", data: { camera: cameraId, from: String(from), to: String(to) } });
    span.style.left = `${(100 * start) / duration}%`;
    span.style.width = `${(100 * (end - start)) / duration}%`;
    span.title = `${personName(globalId)} in ${cameraId}, ${clockTime(start)} to ${clockTime(end)}`;
    return span;
  }

  _makeRow(globalId) {
    const chip = element("span", { class: "chip" }, personName(globalId));
    const button = element("button", { class: "who", type: "button", onclick: () => this._onPick(globalId) }, chip);
    const lanes = element("div", { class: "lanes" });
    lanes.addEventListener("click", (event) => {
      this._onPick(globalId, true);
      this._onSeek(this._positionOf(lanes, event));
    });
    const row = element("div", { class: "row", role: "listitem", data: { person: globalId } }, button, lanes);
    row.style.setProperty("--person", personColour(globalId));
    this._list.append(row);
    const made = { row, button, lanes, state: null };
    this._rows.set(globalId, made);
    this._mark(globalId, made);
    return made;
  }

  /** Scrolls the rows until one is in sight; the page stays where it is. */
  _reveal(row) {
    const [body, { top, bottom }] = [this._body.getBoundingClientRect(), row.getBoundingClientRect()];
    const first = body.top + this._list.previousElementSibling.offsetHeight;
    if (top < first) this._body.scrollTop -= first - top;
    else if (bottom > body.bottom) this._body.scrollTop += Math.min(bottom - body.bottom, top - first);
  }

  _mark(globalId, { row, button }) {
    row.classList.toggle("focused", globalId === this._focus);
    row.classList.toggle("faded", this._focus !== null && globalId !== this._focus);
    button.setAttribute("aria-pressed", String(globalId === this._focus));
  }

  _drawAxis(duration) {
    const width = this._slider.clientWidth;
    if (this._axisFor === `${duration} ${width}` || !duration) return;
    this._axisFor = `${duration} ${width}`;
    const step = STEPS_S.find((seconds) => (seconds / duration) * width >= LABEL_EVERY_PX) ?? 7200;
    const marks = [];
    for (let at = 0; at < duration - step / 4; at += step) {
      const mark = element("span", {}, clockTime(at));
      mark.style.left = `${(100 * at) / duration}%`;
      marks.push(mark);
    }
    this._axis.replaceChildren(...marks);
  }

  /** What a slider does beside the keys of the whole page. */
  _onKey(event) {
    const { duration } = this._recording;
    const jumps = { Home: -Infinity, End: Infinity, PageUp: duration / 10, PageDown: -duration / 10 };
    if (!(event.key in jumps)) return;
    event.preventDefault();
    this._onSeek(Math.min(Math.max(0, this._position + jumps[event.key]), duration));
  }

  _scrub(target) {
    const seek = (event) => this._onSeek(this._positionOf(target, event));
    target.addEventListener("pointerdown", (event) => {
      target.setPointerCapture(event.pointerId);
      seek(event);
    });
    target.addEventListener("pointermove", (event) => {
      if (target.hasPointerCapture(event.pointerId)) seek(event);
    });
  }

  _positionOf(target, event) {
    const { left, width } = target.getBoundingClientRect();
    return (Math.min(Math.max(0, event.clientX - left), width) / width) * this._recording.duration;
  }
}
