import { Columns } from "./columns.js";

/** One track of one camera: where it was at each tick, and who it was said to be. */
export class Tracklet {
  /** `number`: which of the recording's tracklets this is, by when they came. */
  constructor(cameraId, trackId, number) {
    this.number = number;
    this.cameraId = cameraId;
    this.trackId = trackId;
    this.frames = new Columns(Int32Array, 1); // global frame index, rising
    this.boxes = new Columns(Float32Array, 5); // x1, y1, x2, y2 in px of the source frame, confidence
    this.places = new Columns(Float32Array, 2); // metres; NaN where unknown
    this.told = []; // [frame from which on, global id]
    this.corrections = []; // {from, to, globalId}: frames inclusive, later ones win
  }

  add(frame, track) {
    this.frames.push(frame);
    this.boxes.push(...track.bbox_xyxy, track.confidence);
    this.places.push(...(track.map_coords ?? [NaN, NaN]));
    const last = this.told.at(-1)?.[1] ?? null;
    if (track.global_id !== null && track.global_id !== last) this.told.push([frame, track.global_id]);
    return this.frames.length - 1;
  }

  /** To be called when nothing is added for the time being. */
  trim() {
    for (const columns of [this.frames, this.boxes, this.places]) columns.trim();
  }

  get firstFrame() {
    return this.frames.get(0);
  }

  get lastFrame() {
    return this.frames.get(this.frames.length - 1);
  }

  /** Who this is at a frame. Whom it was too early to name then is named as soon as anybody knows. */
  personAt(frame) {
    const correction = this.corrections.findLast((each) => each.from <= frame && frame <= each.to);
    if (correction) return correction.globalId;
    const told = this.told.findLast(([from]) => from <= frame) ?? this.told[0];
    return told ? told[1] : null;
  }

  /** Whether this was ever said to be somebody. */
  wasEver(globalId) {
    return this.told.some(([, id]) => id === globalId) || this.corrections.some((each) => each.globalId === globalId);
  }

  /** Everybody this ever was, with the frames: [{globalId, from, to}], inclusive. A gap of `maxGap` frames ends one. */
  stretches(maxGap) {
    const state = `${this.frames.length} ${this.told.length} ${this.corrections.length} ${maxGap}`;
    if (this._stretches?.state !== state) this._stretches = { state, found: this._findStretches(maxGap) };
    return this._stretches.found;
  }

  _findStretches(maxGap) {
    const found = [];
    for (let row = 0; row < this.frames.length; row++) {
      const frame = this.frames.get(row);
      const globalId = this.personAt(frame);
      const last = found.at(-1);
      if (last && last.globalId === globalId && frame - last.to <= maxGap) last.to = frame;
      else found.push({ globalId, from: frame, to: frame });
    }
    return found;
  }
}
