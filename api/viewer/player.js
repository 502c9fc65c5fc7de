const LONGEST_STEP_S = 0.25; // a tab that slept does not jump ahead
const RESUME_WITH_S = 1; // results ahead of the position before play goes on
const PRELOAD_BEFORE_S = 20;
const END_S = 1e-3;

/** One position for all cameras: plays, pauses, seeks; waits for videos and results that are late. */
export class Player {
  /** `onChange(player)` is called at every step of the screen at which something changed. */
  constructor(recording, views, onChange) {
    this.position = 0; // seconds from the start of the recording
    this.playing = false;
    this.rate = 1;
    this.settled = false; // every camera that has a video here shows it
    this.waiting = null; // "video" or "results" while one of them is late
    this._recording = recording;
    this._views = views;
    this._onChange = onChange;
    this._before = null;
    this._drawn = null;
    this._step = (now) => this._onScreen(now);
    this._request = requestAnimationFrame(this._step);
    this._onHidden = () => document.hidden && this._views.forEach((view) => view.hold());
    document.addEventListener("visibilitychange", this._onHidden);
  }

  play() {
    if (this.position >= this._recording.duration - END_S && this._recording.isWhole) this.position = 0;
    this.playing = true;
  }

  /** Stops on the frame that was processed last before the position. */
  pause() {
    this.playing = false;
    this.waiting = null;
    this.position = this._recording.positionOf(this._recording.frameAt(this.position));
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  seek(position) {
    this.position = Math.min(Math.max(0, position), Math.max(0, this._recording.duration - END_S));
    this.waiting = null;
    if (!this.playing) this.pause();
  }

  /** To the next or an earlier processed frame. */
  step(frames) {
    this.pause();
    this.seek(this._recording.positionOf(Math.max(0, this._recording.frameAt(this.position) + frames)) + 1e-4);
  }

  close() {
    cancelAnimationFrame(this._request);
    document.removeEventListener("visibilitychange", this._onHidden);
    this._views.forEach((view) => view.close());
  }

  _onScreen(now) {
    this._request = requestAnimationFrame(this._step);
    if (document.hidden) return; // nobody looks: the videos stand still, too
    const passed = Math.min((now - (this._before ?? now)) / 1000, LONGEST_STEP_S);
    this._before = now;
    const moves = this.playing && this.waiting === null;
    if (moves) this._advance(passed * this.rate);
    this._follow();
    const state = `${this.position} ${this.playing} ${this.waiting} ${this.rate} ${this._recording.version}`;
    if (state !== this._drawn) this._onChange(this);
    this._drawn = state;
  }

  _advance(seconds) {
    const { duration, knownUntil, isWhole } = this._recording;
    this.position = Math.min(this.position + seconds, isWhole ? duration : Math.max(this.position, knownUntil));
    if (isWhole && this.position >= duration - END_S) {
      this.playing = false;
      this.position = Math.max(0, duration - END_S);
      this.pause();
    }
  }

  /** Brings every camera to the position, and finds out what is late. */
  _follow() {
    const recording = this._recording;
    const batch = recording.batchAt(this.position);
    const offset = batch ? this.position - batch.start : 0;
    const late = this.playing && this._resultsLate();
    const moves = this.playing && !late && this.waiting !== "video";
    const frame = recording.frameAt(this.position);
    const ready = this._views.map((view) => {
      const exactTime = this.playing ? null : recording.mediaTimeOf(view.id, frame);
      return view.sync(batch, offset, { playing: moves, rate: this.rate, exactTime });
    });
    this.settled = batch !== null && ready.every(Boolean);
    this.waiting = late ? "results" : this.playing && !ready.every(Boolean) ? "video" : null;
    if (this.waiting === "video") this._views.forEach((view, index) => ready[index] && view.hold());
    if (batch && batch.start + batch.duration - this.position < PRELOAD_BEFORE_S) {
      const next = recording.batchAfter(batch);
      if (next) this._views.forEach((view) => view.preload(next));
    }
  }

  _resultsLate() {
    const { isWhole, knownUntil } = this._recording;
    if (isWhole) return false;
    return knownUntil - this.position < (this.waiting === "results" ? RESUME_WITH_S : 1e-6);
  }
}
