import { Ticks } from "./ticks.js";
import { Tracklet } from "./tracklet.js";

export const FINAL = new Set(["COMPLETED", "FAILED", "CANCELLED"]);
const SAME_INSTANT_S = 1e-3;
const GAP_S = 1; // a sighting that is taken up again within this time is shown as one
const PATH_GAP_S = 2.5;

/**
 * Everything that a task's messages said, and the questions that views ask about it. No document, no network.
 *
 * A position is seconds from the start of the first batch; batches follow each other without a gap. Within a batch
 * frame `startFrame + k` lies k / fps seconds after its start.
 */
export class Recording {
  constructor(taskId) {
    this.taskId = taskId;
    this.status = null;
    this.batches = []; // by index
    this.tracklets = new Map(); // `${camera}/${track}` -> Tracklet
    this.cameraIds = [];
    this.focus = null;
    this.ended = false; // whether the last message has come
    this.filling = false; // whether earlier ticks are still on their way from history
    this.version = 0; // rises with everything that changes what is drawn
    this.lastFrame = -1;
    this._ticks = new Map(); // camera -> batch index -> Ticks
    this._numbered = []; // tracklets by number
    this._trimmed = 0; // of these, how many were given no room for more
    this._people = { version: -1, found: new Map() };
  }

  /** Takes one message of the server; returns its type. */
  take({ type, payload }) {
    if (type === "tracking_update") this._tick(payload);
    else if (type === "media_available") this._media(payload);
    else if (type === "status_update") this._status(payload);
    else if (type === "identity_corrected") payload.corrections.forEach((each) => this._correct(each));
    else if (type === "focus_changed") this.focus = payload.global_id;
    else if (type === "batch_processing_complete") this._complete(payload.sub_video_batch_index);
    else return type;
    this.version += 1;
    return type;
  }

  get isFinal() {
    return FINAL.has(this.status?.status);
  }

  /** Whether everything that will ever be known of the task is here. */
  get isWhole() {
    return this.isFinal && !this.filling;
  }

  /** Seconds of video that can be played. */
  get duration() {
    const last = this.batches.at(-1);
    return last ? last.start + last.duration : 0;
  }

  /** Up to where results are known, as a position; all of it once the task has ended. */
  get knownUntil() {
    if (this.isWhole) return this.duration;
    const last = this.batches.findLast((each) => each.startFrame <= this.lastFrame);
    if (!last) return 0;
    return last.complete ? last.start + last.duration : this.positionOf(this.lastFrame);
  }

  batchAt(position) {
    return this.batches.findLast((each) => each.start <= position) ?? this.batches[0] ?? null;
  }

  batchAfter(batch) {
    return this.batches[this.batches.indexOf(batch) + 1] ?? null;
  }

  positionOf(frame) {
    const batch = this.batches.findLast((each) => each.startFrame <= frame) ?? this.batches[0];
    return batch ? batch.start + (frame - batch.startFrame) / batch.fps : 0;
  }

  /** The global frame index of the tick at or before a position. */
  frameAt(position) {
    const batch = this.batchAt(position);
    return batch ? batch.startFrame + Math.floor((position - batch.start) * batch.fps + 1e-6) : 0;
  }

  /** When a camera's file shows the frame of a tick, seconds; null where it shows none. */
  mediaTimeOf(cameraId, frame) {
    const batch = this.batches.findLast((each) => each.startFrame <= frame);
    return this._ticksOf(cameraId, batch?.index)?.timeOf(frame) ?? null;
  }

  /**
   * What a camera's frame at `mediaTime` shows: {frame, exact, boxes: [{tracklet, row, globalId, box, confidence}]}.
   * On a frame that was processed the boxes are those of that frame; between two such frames they lie in between.
   */
  shownAt(cameraId, batchIndex, mediaTime) {
    const ticks = this._ticksOf(cameraId, batchIndex);
    const at = ticks?.indexAt(mediaTime + SAME_INSTANT_S) ?? -1;
    if (at < 0) return null;
    const [frame, boxes] = [ticks.frame(at), ticks.boxes(at)];
    if (mediaTime - ticks.time(at) <= SAME_INSTANT_S) return { frame, exact: true, boxes };
    if (at + 1 === ticks.length) return { frame, exact: false, boxes };
    const share = (mediaTime - ticks.time(at)) / (ticks.time(at + 1) - ticks.time(at));
    return { frame, exact: false, boxes: between(boxes, ticks.boxes(at + 1), share) };
  }

  /** People by global id: {globalId, firstFrame, sightings: Map(camera -> [{from, to}] frames inclusive)}. */
  get people() {
    if (this._people.version !== this.version) this._people = { version: this.version, found: this._findPeople() };
    return this._people.found;
  }

  /** Seconds that each camera saw a person: Map(camera -> seconds). */
  timePerCamera(globalId) {
    const person = this.people.get(globalId);
    if (!person) return new Map();
    return new Map(
      [...person.sightings].map(([cameraId, spans]) => [
        cameraId,
        spans.reduce((sum, { from, to }) => sum + this.positionOf(to + 1) - this.positionOf(from), 0),
      ]),
    );
  }

  /** Where everybody was over some frames: Map(global id -> [[frame, x, y], ...]), cameras averaged. */
  paths(fromFrame, toFrame, only = null) {
    const sums = new Map();
    for (const tracklet of this.tracklets.values()) {
      if (tracklet.lastFrame < fromFrame || tracklet.firstFrame > toFrame) continue;
      if (only !== null && !tracklet.wasEver(only)) continue;
      for (let row = tracklet.frames.lowerBound(fromFrame); row < tracklet.frames.length; row++) {
        const frame = tracklet.frames.get(row);
        if (frame > toFrame) break;
        const [x, y] = [tracklet.places.get(row, 0), tracklet.places.get(row, 1)];
        const globalId = tracklet.personAt(frame);
        if (Number.isNaN(x) || globalId === null || (only !== null && globalId !== only)) continue;
        const of = sums.get(globalId) ?? sums.set(globalId, new Map()).get(globalId);
        const sum = of.get(frame) ?? of.set(frame, [0, 0, 0]).get(frame);
        sum[0] += x;
        sum[1] += y;
        sum[2] += 1;
      }
    }
    const averaged = (of) => [...of].map(([frame, [x, y, n]]) => [frame, x / n, y / n]).sort((a, b) => a[0] - b[0]);
    return new Map([...sums].map(([globalId, of]) => [globalId, averaged(of)]));
  }

  /** Whether two frames of a path belong to one line. */
  joined(frameBefore, frame) {
    return (frame - frameBefore) / (this.batches[0]?.fps ?? 1) <= PATH_GAP_S;
  }

  /** The tracklets and rows of a person: [{tracklet, row, frame}] of every `stride`-th sighting. */
  sightingsOf(globalId, stride = 1) {
    const found = [];
    for (const tracklet of this.tracklets.values()) {
      if (!tracklet.wasEver(globalId)) continue;
      for (let row = 0; row < tracklet.frames.length; row += stride) {
        const frame = tracklet.frames.get(row);
        if (tracklet.personAt(frame) === globalId) found.push({ tracklet, row, frame });
      }
    }
    return found;
  }

  /** A replay tells older states than the one that is known. */
  _status(status) {
    if (!this.status || Date.parse(status.updated_at) >= Date.parse(this.status.updated_at)) this.status = status;
  }

  _media({ sub_video_batch_index: index, media_urls: files }) {
    const fps = files[0]?.fps ?? 1;
    const frames = Math.max(0, ...files.map((file) => file.num_frames_in_sub_video));
    const media = new Map(
      files.map((file) => [
        file.camera_id,
        { url: file.url, startTime: file.start_time_s, duration: file.num_frames_in_sub_video / fps },
      ]),
    );
    const startFrame = files[0]?.start_global_frame_index ?? 0;
    const known = this.batches.find((each) => each.index === index);
    if (known) known.media = media;
    else this.batches.push({ index, startFrame, frames, fps, duration: frames / fps, start: 0, complete: false, media });
    this.batches.sort((a, b) => a.index - b.index);
    this.batches.reduce((start, each) => (each.start = start) + each.duration, 0);
    for (const cameraId of media.keys()) this._addCamera(cameraId);
    this._trim(index);
  }

  /** What grew in earlier batches than this one gives back the room that it kept for more, which is a third of it. */
  _trim(index) {
    for (const byBatch of this._ticks.values()) byBatch.get(index - 1)?.trim();
    const ended = this._numbered.findIndex((tracklet, at) => at >= this._trimmed && tracklet.lastFrame >= this.lastFrame);
    const end = ended < 0 ? this._numbered.length : ended;
    for (const tracklet of this._numbered.slice(this._trimmed, end)) tracklet.trim();
    this._trimmed = end;
  }

  _tick({ global_frame_index: frame, sub_video_batch_index_of_frame: batchIndex, cameras }) {
    if (frame <= this.lastFrame) return;
    this.lastFrame = frame;
    for (const [cameraId, { media_time_s: time, tracks }] of Object.entries(cameras)) {
      this._addCamera(cameraId);
      if (time === null) continue;
      const shown = tracks.map((track) => {
        const tracklet = this._trackletOf(cameraId, track.track_id);
        return [tracklet, tracklet.add(frame, track)];
      });
      const byBatch = this._ticks.get(cameraId);
      if (!byBatch.has(batchIndex)) byBatch.set(batchIndex, new Ticks(this._numbered));
      byBatch.get(batchIndex).add(time, frame, shown);
    }
  }

  _correct({ camera_id: cameraId, track_id: trackId, from_frame: from, to_frame: to, to_global_id: globalId }) {
    this._trackletOf(cameraId, trackId).corrections.push({ from, to, globalId });
  }

  _complete(index) {
    const batch = this.batches.find((each) => each.index === index);
    if (batch) batch.complete = true;
  }

  _addCamera(cameraId) {
    if (this._ticks.has(cameraId)) return;
    this._ticks.set(cameraId, new Map());
    this.cameraIds = [...this._ticks.keys()].sort();
  }

  _ticksOf(cameraId, batchIndex) {
    return this._ticks.get(cameraId)?.get(batchIndex) ?? null;
  }

  _trackletOf(cameraId, trackId) {
    const key = `${cameraId}/${trackId}`;
    const known = this.tracklets.get(key);
    if (known) return known;
    const tracklet = new Tracklet(cameraId, trackId, this._numbered.length);
    this._numbered.push(tracklet);
    this.tracklets.set(key, tracklet);
    return tracklet;
  }

  _findPeople() {
    const people = new Map();
    const gap = Math.round(GAP_S * (this.batches[0]?.fps ?? 1));
    for (const tracklet of this.tracklets.values()) {
      for (const { globalId, from, to } of tracklet.stretches(gap)) {
        if (globalId === null) continue;
        if (!people.has(globalId)) people.set(globalId, { globalId, firstFrame: from, sightings: new Map() });
        const person = people.get(globalId);
        person.firstFrame = Math.min(person.firstFrame, from);
        if (!person.sightings.has(tracklet.cameraId)) person.sightings.set(tracklet.cameraId, []);
        person.sightings.get(tracklet.cameraId).push({ from, to });
      }
    }
    for (const person of people.values())
      for (const [cameraId, spans] of person.sightings) person.sightings.set(cameraId, merged(spans, gap));
    return new Map([...people].sort(([, a], [, b]) => a.firstFrame - b.firstFrame));
  }
}

function merged(spans, gap) {
  const found = [];
  for (const span of spans.sort((a, b) => a.from - b.from)) {
    const last = found.at(-1);
    if (last && span.from - last.to <= gap) last.to = Math.max(last.to, span.to);
    else found.push({ ...span });
  }
  return found;
}

function between(before, after, share) {
  const later = new Map(after.map((each) => [each.tracklet, each]));
  return before.map((each) => {
    const next = later.get(each.tracklet);
    if (!next) return each;
    return { ...each, box: each.box.map((value, side) => value + (next.box[side] - value) * share) };
  });
}
