import { element } from "./dom.js";
import { drawBoxes, hitBox } from "./overlay.js";
import * as server from "./server.js";

const SEEK_BEYOND_S = 0.3; // a video further off than this is set right by a seek, a closer one by its speed
const CLOSE_ENOUGH_S = 0.025;
const CATCH_UP = 0.15; // how much faster or slower a video may run for that
const INTO_FRAME_S = 0.001; // a seek lands within the frame, not on its edge
const SEEKS = 8; // towards one goal: a file that starts late is understood only while it is read
const TAKE_OVER_MS = 400;
const RETRY_MEDIA_MS = 3000;

/** One of the two video elements of a camera, and which batch it holds. */
class Slot {
  constructor(onFrame) {
    this.video = element("video", { muted: true, playsInline: true, preload: "auto", disablePictureInPicture: true });
    this.video.setAttribute("aria-hidden", "true");
    this.batch = null;
    this.mediaTime = null; // of the frame that is on the screen
    this.broken = false;
    this._onFrame = onFrame;
    this._watch();
  }

  load(batch, url) {
    this.batch = batch;
    this.mediaTime = null;
    this.broken = false;
    this.readySince = null;
    this._goal = null;
    this.video.src = url;
    this.video.load();
  }

  seek(goal) {
    if (goal !== this._goal) this._tries = 0;
    this._goal = goal;
    if (this.video.seeking || this._tries++ >= SEEKS) return;
    this.video.currentTime = goal;
  }

  _watch() {
    if (this.video.requestVideoFrameCallback) {
      const next = (_, { mediaTime }) => {
        this._shows(mediaTime);
        this.video.requestVideoFrameCallback(next);
      };
      this.video.requestVideoFrameCallback(next);
      return;
    }
    const poll = () => {
      if (this.video.readyState >= 2 && this.video.currentTime !== this.mediaTime) this._shows(this.video.currentTime);
      requestAnimationFrame(poll);
    };
    poll();
  }

  _shows(mediaTime) {
    if (this.batch === null) return;
    this.mediaTime = mediaTime;
    this._onFrame(this);
  }
}

/** One camera's tile: its video, and the boxes of exactly the frame that is on the screen. */
export class CameraView {
  /** `onPick(globalId)` is called when a person's box is clicked, with null beside all boxes. */
  constructor(camera, recording, onPick) {
    this.id = camera.camera_id;
    this.shown = null; // {batch, mediaTime, frame, exact, boxes}: what is on the screen now
    this._recording = recording;
    this._size = camera.resolution;
    this._focus = null;
    this._canvas = element("canvas", { class: "overlay" });
    this._notice = element("p", { class: "notice", hidden: true });
    this._front = new Slot((slot) => this._onFrame(slot));
    this._back = new Slot((slot) => this._onFrame(slot));
    this._pending = null; // the slot that takes over with its first frame
    this._front.video.classList.add("front");
    this._name = element("figcaption", {}, element("b", {}, this.id), ` ${camera.name === this.id ? "" : camera.name}`);
    this._count = element("span", { class: "count" });
    this._name.append(this._count);
    this.screen = element("div", { class: "screen" }, this._front.video, this._back.video, this._canvas, this._notice);
    this.element = element("figure", { class: "camera", data: { camera: this.id } }, this.screen, this._name);
    if (this._size) this.screen.style.aspectRatio = `${this._size[0]} / ${this._size[1]}`;
    this._canvas.addEventListener("click", (event) => {
      const hit = this._hit(event);
      if (hit === null || hit.globalId !== null) onPick(hit?.globalId ?? null);
    });
    this._canvas.addEventListener("pointermove", (event) => {
      this._canvas.style.cursor = this._hit(event)?.globalId ? "pointer" : "default";
    });
    new ResizeObserver(() => this.redraw()).observe(this._canvas);
    for (const slot of [this._front, this._back]) slot.video.addEventListener("error", () => this._mend(slot));
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
    this._say(null);
    const slot = this._slotOf(batch, media);
    if (slot.broken) {
      this._say("This video cannot be played.");
      return true;
    }
    const goal = playing || exactTime === null ? media.startTime + offset : exactTime + INTO_FRAME_S;
    steer(slot, goal, playing, rate);
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
    for (const slot of [this._front, this._back]) {
      slot.batch = null;
      slot.video.removeAttribute("src");
      slot.video.load();
    }
  }

  _rest(batch, media) {
    this.hold();
    this._absent = !media;
    if (!batch) this._say("Waiting for the first video …");
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

  /** A video that fails is asked for once more, with a new ticket: its own may have run out. */
  async _mend(slot) {
    if (slot.batch === null || slot.broken) return;
    if (slot.mended > performance.now() - RETRY_MEDIA_MS) {
      slot.broken = true;
      return;
    }
    slot.mended = performance.now();
    const { batch } = slot;
    const time = slot.video.currentTime;
    try {
      const url = await server.freshMediaUrl(this._recording.taskId, slot.video.src);
      if (slot.batch !== batch) return;
      slot.load(batch, url);
      slot.video.currentTime = time;
    } catch {
      slot.broken = true;
    }
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

function steer(slot, goal, playing, rate) {
  const { video } = slot;
  const off = video.currentTime - goal;
  if (!playing) {
    if (!video.paused) video.pause();
    if (Math.abs(off) > INTO_FRAME_S / 2) slot.seek(goal);
    return;
  }
  if (Math.abs(off) > SEEK_BEYOND_S * Math.max(1, rate)) slot.seek(goal);
  const nudge = Math.abs(off) < CLOSE_ENOUGH_S ? 0 : Math.max(-CATCH_UP, Math.min(CATCH_UP, -off));
  video.playbackRate = rate * (1 + nudge);
  if (video.paused) video.play().catch(() => {}); // a play that a pause cuts short is no error
}
