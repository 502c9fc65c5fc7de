import { element } from "./dom.js";
import * as server from "./server.js";

const SEEK_BEYOND_S = 0.3; // a video further off than this is set right by a seek, a closer one by its speed
const CLOSE_ENOUGH_S = 0.025;
const CATCH_UP = 0.15; // how much faster or slower a video may run for that
const SEEKS = 8; // towards one goal: a file that starts late is understood only while it is read
const UNREADABLE_AFTER = 2; // failures of a file that the server does give
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
export const INTO_FRAME_S = 0.001; // a seek lands within the frame, not on its edge

/** One of the two video elements of a camera, and which batch it holds. A file that cannot be had is asked for again. */
export class Slot {
  /** `onFrame(slot)` for every frame that comes onto the screen. */
  constructor(taskId, onFrame) {
    this.video = element("video", { muted: true, playsInline: true, preload: "auto", disablePictureInPicture: true });
    this.video.setAttribute("aria-hidden", "true");
    this.batch = null;
    this.mediaTime = null; // of the frame that is on the screen
    this.trouble = null; // in words, while the file cannot be had
    this.broken = false; // whether there is no use in asking again
    this._taskId = taskId;
    this._onFrame = onFrame;
    this._failures = 0;
    this._watch();
    this.video.addEventListener("error", () => this._fetchAgain());
  }

  load(batch, url) {
    this.batch = batch;
    this._failures = 0;
    this.trouble = null;
    this.broken = false;
    this._load(url);
  }

  seek(goal) {
    if (goal !== this._goal) this._tries = 0;
    this._goal = goal;
    if (this.video.seeking || this._tries++ >= SEEKS) return;
    this.video.currentTime = goal;
  }

  /** Brings the video to `goal`, and keeps it there while it plays at `rate`. */
  steer(goal, playing, rate) {
    const { video } = this;
    const off = video.currentTime - goal;
    if (!playing) {
      if (!video.paused) video.pause();
      if (Math.abs(off) > INTO_FRAME_S / 2) this.seek(goal);
      return;
    }
    if (Math.abs(off) > SEEK_BEYOND_S * Math.max(1, rate)) this.seek(goal);
    const nudge = Math.abs(off) < CLOSE_ENOUGH_S ? 0 : Math.max(-CATCH_UP, Math.min(CATCH_UP, -off));
    video.playbackRate = rate * (1 + nudge);
    if (video.paused) video.play().catch(() => {}); // a play that a pause cuts short is no error
  }

  close() {
    this.batch = null;
    this.video.removeAttribute("src");
    this.video.load();
  }

  _load(url) {
    this.mediaTime = null;
    this.readySince = null;
    this._goal = null;
    this.video.src = url;
    this.video.load();
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
    this._failures = 0;
    this.trouble = null;
    this._onFrame(this);
  }

  /** Its ticket may have run out, or the server be away: the file is asked for until it comes or the server says no. */
  async _fetchAgain() {
    const { batch } = this;
    const url = this.video.src;
    if (batch === null || this.broken) return;
    this._failures += 1;
    const refusal = await server.videoRefusal(url);
    if (this.batch !== batch || this.video.src !== url) return;
    if (!refusal && this._failures > UNREADABLE_AFTER) return this._giveUp("This video cannot be played.");
    if (refusal?.status === 404) return this._giveUp("This video is no longer kept.");
    if (refusal) this.trouble = `${refusal.message} Trying again …`;
    await new Promise((done) => setTimeout(done, Math.min(FIRST_PAUSE_MS * 2 ** (this._failures - 1), LONGEST_PAUSE_MS)));
    const fresh = await server.freshMediaUrl(this._taskId, url).catch(() => url);
    if (this.batch === batch && this.video.src === url) this._load(fresh);
  }

  _giveUp(words) {
    this.trouble = words;
    this.broken = true;
  }
}
