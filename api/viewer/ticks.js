import { Columns } from "./columns.js";

/** The frames of one camera's file that were processed, by time: of which tick each is, and whom it shows. */
export class Ticks {
  /** `tracklets`: all of the recording, by their number. */
  constructor(tracklets) {
    this._tracklets = tracklets;
    this._times = new Columns(Float64Array, 1); // seconds within the file, rising
    this._frames = new Columns(Int32Array, 2); // global frame index, rising; how many are shown before it
    this._shown = new Columns(Int32Array, 2); // a tracklet's number, and the row in it
  }

  /** `shown`: [[tracklet, row], ...]. */
  add(time, frame, shown) {
    this._times.push(time);
    this._frames.push(frame, this._shown.length);
    for (const [tracklet, row] of shown) this._shown.push(tracklet.number, row);
  }

  /** To be called when nothing is added any more. */
  trim() {
    for (const columns of [this._times, this._frames, this._shown]) columns.trim();
  }

  get length() {
    return this._times.length;
  }

  time(index) {
    return this._times.get(index);
  }

  frame(index) {
    return this._frames.get(index);
  }

  /** The last at or before a time; -1 where there is none. */
  indexAt(time) {
    return this._times.upperBound(time) - 1;
  }

  /** When the frame of a tick is shown, or null. */
  timeOf(frame) {
    const index = this._frames.lowerBound(frame);
    return index < this.length && this.frame(index) === frame ? this.time(index) : null;
  }

  /** [{tracklet, row, globalId, box, confidence}] of one frame; boxes in px of the source frame. */
  boxes(index) {
    const frame = this.frame(index);
    const end = index + 1 < this.length ? this._frames.get(index + 1, 1) : this._shown.length;
    const found = [];
    for (let at = this._frames.get(index, 1); at < end; at++) {
      const [tracklet, row] = [this._tracklets[this._shown.get(at, 0)], this._shown.get(at, 1)];
      const [x1, y1, x2, y2, confidence] = tracklet.boxes.row(row);
      found.push({ tracklet, row, globalId: tracklet.personAt(frame), box: [x1, y1, x2, y2], confidence });
    }
    return found;
  }
}
