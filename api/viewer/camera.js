import { element, icon } from "./dom.js";
import { drawBoxes, hitBox } from "./overlay.js";
import * as server from "./server.js";
import { INTO_FRAME_S, Slot } from "./video.js";

const TAKE_OVER_MS = 400;

/** One camera's tile: its video, and the boxes of exactly the frame that is on the screen. */
export class CameraView {
  /** `onPick(globalId)` is called when a person's box is clicked, with null beside all boxes; `onEnlarge(view)`. */
  constructor(camera, recording, onPick, onEnlarge) {
    this.id = camera.camera_id;
    this.shown = null; // {batch, mediaTime, frame, exact, boxes}: what is on the screen now
    this._recording = recording;
    this._size = camera.resolution;
    this._focus = null;
    this._canvas = element("canvas", { class: "overlay" });
    this._notice = element("p", { class: "notice", hidden: true });
    this._front = new Slot(recording.taskId, (slot) => this._onFrame(slot));
    this._back = new Slot(recording.taskId, (slot) => this._onFrame(slot));
    this._pending = null; // the slot that takes over with its first frame
    this._front.video.classList.add("front");
    const name = element("span", { class: "name" }, element("b", {}, this.id), ` ${camera.name === this.id ? "" : camera.name}`);
    this._count = element("span", { class: "count" });
    this._enlarge = element("button", { class: "ghost", type: "button", onclick: () => onEnlarge(this) }, icon("enlarge"));
    const caption = element("figcaption", {}, name, this._count, this._enlarge);
    this.screen = element("div", { class: "screen" }, this._front.video, this._back.video, this._canvas, this._notice);
    this.element = element("figure", { class: "camera", data: { camera: this.id } }, this.screen, caption);
    this.large = false;
    if (this._size) this.screen.style.aspectRatio = `${this._size[0]} / ${this._size[1]}`;
    this._canvas.addEventListener("click", (event) => {
      const hit = this._hit(event);
      if (hit === null || hit.globalId !== null) onPick(hit?.globalId ?? null);
    });
    this._canvas.addEventListener("pointermove", (event) => {
      this._canvas.style.cursor = this._hit(event)?.globalId ? "pointer" : "default";
    });
    new ResizeObserver(() => this.redraw()).observe(this._canvas);
  }

  /** Whether it stands large above the other cameras. */
  set large(large) {
    this._large = large;
    this.element.classList.toggle("large", large);
    const label = large ? `${this.id} as large as the others` : `Enlarge ${this.id}`;
    this._enlarge.title = label;
    this._enlarge.setAttribute("aria-label", label);
  }

  get large() {
    return this._large;
  }

  /** Who is emphasised in the overlay; null for everybody alike. */
  set focus(globalId) {
    this._focus = globalId;
    this.redraw();
  }

  /**
   * Brings the video to a position: `offset` seconds into `batch`. `exactTime` is the presentation time of the frame to
   * stand on while paused. False while the video is not there yet, so that all cameras wait for it.
   */
  sync(batch, offset, { playing, rate, exactTime }) {
    const media = batch?.media.get(this.id);
    if (!media || offset >= media.duration) return this._rest(batch, media);
    const slot = this._slotOf(batch, media);
    this._say(slot.trouble);
    if (slot.broken) return true;
    const goal = playing || exactTime === null ? media.startTime + offset : exactTime + INTO_FRAME_S;
    slot.steer(goal, playing, rate);
    this._takeOverLate(slot);
    return slot.video.readyState >= (playing ? 3 : 2) && !slot.video.seeking && slot === this._front;
  }

  /** Loads the batch that comes next, out of sight. */
  preload(batch) {
    const media = batch?.media.get(this.id);
    if (!media || this._pending || this._back.batch === batch.index || this._front.batch === batch.index) return;
    this._back.load(batch.index, server.mediaUrl(media.url));
    this._back.video.currentTime = media.startTime + INTO_FRAME_S;
  }

  /** Holds the picture where it is. */
  hold() {
    for (const slot of [this._front, this._back]) slot.video.pause();
  }

  redraw() {
    if (this._front.mediaTime === null || this._absent) this.shown = null;
    else {
      const { batch, mediaTime } = this._front;
      const found = this._recording.shownAt(this.id, batch, mediaTime);
      this.shown = { batch, mediaTime, ...(found ?? { frame: null, exact: false, boxes: [] }) };
    }
    drawBoxes(this._canvas, this.shown?.boxes ?? [], this._videoSize(), this._focus);
    const people = this.shown?.boxes.length ?? 0;
    this._count.textContent = people ? `${people} ${people === 1 ? "person" : "people"}` : "";
  }

  close() {
    for (const slot of [this._front, this._back]) slot.close();
  }

  _rest(batch, media) {
    this.hold();
    this._absent = !media;
    if (!batch) this._say(this._recording.ended ? "No video of this task can be shown." : "Waiting for the first video …");
    else if (!media) this._say("No video from this camera for this stretch of time.");
    else this._say(null);
    if (this._absent && this.shown) this.redraw();
    return true;
  }

  _slotOf(batch, media) {
    this._absent = false;
    if (this._front.batch === batch.index) {
      this._pending = null;
      return this._front;
    }
    if (this._back.batch !== batch.index) this._back.load(batch.index, server.mediaUrl(media.url));
    this._pending = this._back;
    return this._back;
  }

  _onFrame(slot) {
    if (slot === this._pending && Math.abs(slot.video.currentTime - slot.mediaTime) < 1 && !slot.video.seeking) this._swap();
    if (slot === this._front) this.redraw();
  }

  /** A frame that came before its slot was asked for is not announced again: then it is enough that it is there. */
  _takeOverLate(slot) {
    if (slot !== this._pending || slot.video.readyState < 2 || slot.video.seeking) return;
    slot.readySince ??= performance.now();
    if (slot.mediaTime !== null || performance.now() - slot.readySince > TAKE_OVER_MS) {
      slot.mediaTime ??= slot.video.currentTime;
      this._swap();
      this.redraw();
    }
  }

  _swap() {
    [this._front, this._back] = [this._back, this._front];
    this._pending = null;
    this._front.readySince = null;
    this._front.video.classList.add("front");
    this._back.video.classList.remove("front");
    this._back.video.pause();
  }

  _say(text) {
    this._notice.hidden = text === null;
    if (text !== null) this._notice.textContent = text;
  }

  _videoSize() {
    const { videoWidth, videoHeight } = this._front.video;
    return videoWidth ? [videoWidth, videoHeight] : (this._size ?? [16, 9]);
  }

  _hit(event) {
    return hitBox(this._canvas, this.shown?.boxes ?? [], this._videoSize(), event.offsetX, event.offsetY);
  }
}
