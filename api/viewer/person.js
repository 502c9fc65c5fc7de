import { bestSightings } from "./crops.js";
import { clockTime, duration, element, icon } from "./dom.js";
import { personColour, personName } from "./people.js";
import * as server from "./server.js";

const CROPS = 6;

/** Who is in focus: best pictures, where and how long they were seen, how far they walked. */
export class PersonPanel {
  /** `onSeek(position)`, `onClose()`, `onSimilar(globalId)`. */
  constructor(recording, cutter, cameras, { onSeek, onClose, onSimilar }) {
    this._recording = recording;
    this._cutter = cutter;
    this._cameras = cameras;
    this._actions = { onSeek, onClose, onSimilar };
    this._globalId = null;
    this.element = element("section", { class: "person panel", hidden: true, aria: { label: "Person in focus" } });
  }

  /** Shows somebody, or nobody. */
  show(globalId) {
    if (globalId === this._globalId) return;
    this._globalId = globalId;
    this.element.hidden = globalId === null;
    this._cropsFor = this._awayTo = null;
    if (globalId === null) return this.element.replaceChildren();
    this.element.style.setProperty("--person", personColour(globalId));
    this._facts = element("p", { class: "facts" });
    this._away = element("button", { class: "secondary away", type: "button", hidden: true });
    this._walk = element("p", { class: "facts" });
    this._crops = element("div", { class: "crops", aria: { label: "Best pictures" } });
    this._bars = new Map(this._cameras.map(({ camera_id: cameraId }) => [cameraId, this._makeBar(cameraId)]));
    const close = element("button", { class: "ghost", type: "button", title: "Nobody in focus (Esc)", onclick: this._actions.onClose }, icon("close"));
    close.setAttribute("aria-label", "Close");
    this.element.replaceChildren(
      element("header", {}, element("span", { class: "chip" }, personName(globalId)), element("h2", {}, `Person ${personName(globalId)}`), close),
      this._facts,
      this._away,
      this._crops,
      element("h3", {}, "Time in view"),
      element("div", { class: "bars" }, ...this._bars.values()),
      this._walk,
      element("button", { class: "secondary", type: "button", onclick: () => this._actions.onSimilar(globalId) }, icon("search"), "Who looks like this"),
    );
    this.refresh();
    this._fetchWalk(globalId);
  }

  /** Brings the figures up to date; to be called now and then. */
  refresh() {
    const person = this._globalId === null ? null : this._recording.people.get(this._globalId);
    if (this._globalId === null) return;
    if (!person) {
      this._facts.textContent = "Not seen any more: the second look over the recording knows them under another number.";
      return;
    }
    const perCamera = this._recording.timePerCamera(this._globalId);
    const spans = [...person.sightings.values()].flat();
    const last = Math.max(...spans.map(({ to }) => to));
    const when = (frame) => clockTime(this._recording.positionOf(frame));
    this._facts.textContent = `First seen at ${when(person.firstFrame)}, last at ${when(last)}, by ${perCamera.size} of ${this._cameras.length} cameras.`;
    this._drawBars(perCamera, person);
    this._drawCrops();
  }

  /** Shows the way to them, where no camera sees them at a position. */
  draw(position) {
    const person = this._globalId === null ? null : this._recording.people.get(this._globalId);
    if (!person) return;
    const nearest = nearestSighting(person, this._recording.frameAt(position));
    if (nearest?.frame === this._awayTo) return;
    this._awayTo = nearest?.frame;
    this._away.hidden = !nearest;
    if (!nearest) return;
    const there = this._recording.positionOf(nearest.frame);
    this._away.textContent = `Out of sight now: go to ${nearest.cameraId} at ${clockTime(there)}`;
    this._away.onclick = () => this._actions.onSeek(there + 1e-4);
  }

  _makeBar(cameraId) {
    return element(
      "button",
      { class: "bar", type: "button", data: { camera: cameraId } },
      element("b", {}, cameraId),
      element("span", { class: "track" }, element("span", { class: "fill" })),
      element("span", {}),
    );
  }

  /** The bars stay the same elements, so that they can be clicked and keep the focus while they grow. */
  _drawBars(perCamera, person) {
    const most = Math.max(...perCamera.values(), 1e-6);
    for (const [cameraId, bar] of this._bars) {
      const seconds = perCamera.get(cameraId) ?? 0;
      bar.disabled = !seconds;
      bar.dataset.seconds = seconds.toFixed(3);
      bar.title = seconds ? `To their first moment in ${cameraId}` : `Not seen by ${cameraId}`;
      bar.querySelector(".fill").style.width = `${(100 * seconds) / most}%`;
      bar.lastChild.textContent = seconds ? duration(seconds) : "–";
      bar.onclick = () => this._actions.onSeek(this._recording.positionOf(person.sightings.get(cameraId)[0].from));
    }
  }

  _drawCrops() {
    const best = bestSightings(this._recording, this._globalId, CROPS);
    const state = JSON.stringify(best.map(({ cameraId }) => cameraId));
    if (state === this._cropsFor) return;
    this._cropsFor = state;
    this._crops.replaceChildren(...best.map((sighting) => this._crop(sighting)));
  }

  _crop({ cameraId, frame, box }) {
    const position = this._recording.positionOf(frame);
    const button = element("button", { class: "crop", type: "button", onclick: () => this._actions.onSeek(position) });
    const caption = element("small", {}, element("b", {}, cameraId), ` ${clockTime(position)}`);
    button.setAttribute("aria-label", `Picture from ${cameraId} at ${clockTime(position)}: go there`);
    button.append(element("span", { class: "waiting" }), caption);
    this._cutter.cut(cameraId, frame, box).then(
      (canvas) => button.firstChild.replaceWith(canvas),
      () => button.remove(),
    );
    return button;
  }

  async _fetchWalk(globalId) {
    try {
      const { summary } = await server.trajectory(globalId, this._recording.taskId);
      if (globalId !== this._globalId || !summary?.sightings) return;
      const speed = summary.mean_speed_mps === null ? "" : `, ${summary.mean_speed_mps.toFixed(1)} m/s on average`;
      this._walk.textContent = `Walked ${summary.distance_m.toFixed(0)} m in view${speed}.`;
    } catch {
      this._walk.textContent = ""; // what is drawn does not need it
    }
  }
}

/** {frame, cameraId} of when somebody is seen next, or was seen last; null while a camera sees them. */
function nearestSighting({ sightings }, frame) {
  let [next, last] = [null, null];
  for (const [cameraId, spans] of sightings) {
    for (const { from, to } of spans) {
      if (from <= frame && frame <= to) return null;
      if (from > frame && from < (next?.frame ?? Infinity)) next = { frame: from, cameraId };
      if (to < frame && to > (last?.frame ?? -1)) last = { frame: to, cameraId };
    }
  }
  return next ?? last;
}
