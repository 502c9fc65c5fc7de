import { element } from "./dom.js";
import * as server from "./server.js";

const HEIGHT_PX = 160; // of a crop, before it is scaled for the screen
const MARGIN = 0.06; // of the box, around it
const DEADLINE_MS = 8000;
const INTO_FRAME_S = 0.001;
const NEW_FRAME_MS = 300;
const APART_S = 1.5;
const EDGE_PX = 4;

/** The clearest sightings of a person: large, sure, not cut off by the frame's edge; cameras take turns. */
export function bestSightings(recording, globalId, count) {
  const rated = recording.sightingsOf(globalId, 3).map(({ tracklet, row, frame }) => {
    const [x1, y1, x2, y2, confidence] = tracklet.boxes.row(row);
    const cut = x1 < EDGE_PX || y1 < EDGE_PX;
    const slender = Math.min(1, ((y2 - y1) / Math.max(1, x2 - x1)) / 2);
    return { cameraId: tracklet.cameraId, frame, box: [x1, y1, x2, y2], score: (y2 - y1) * confidence * slender * (cut ? 0.4 : 1) };
  });
  rated.sort((a, b) => b.score - a.score);
  const chosen = [];
  const perCamera = Math.max(1, Math.ceil(count / new Set(rated.map((each) => each.cameraId)).size));
  for (const each of rated) {
    if (chosen.length === count) break;
    const same = chosen.filter((other) => other.cameraId === each.cameraId);
    const at = recording.positionOf(each.frame);
    if (same.length >= perCamera || same.some((other) => Math.abs(recording.positionOf(other.frame) - at) < APART_S)) continue;
    chosen.push(each);
  }
  return chosen;
}

/** Cuts pictures of people out of the videos, one after the other, with a video element of its own. */
export class CropCutter {
  constructor(recording) {
    this._recording = recording;
    this._video = element("video", { muted: true, playsInline: true, preload: "auto" });
    this._last = Promise.resolve();
    this._cut = new Map();
  }

  /** A canvas with the box at that frame of that camera; rejects where the video cannot be had. */
  cut(cameraId, frame, box) {
    const key = `${cameraId} ${frame} ${box}`;
    if (!this._cut.has(key)) {
      const cutting = this._last.then(() => this._now(cameraId, frame, box));
      this._last = cutting.catch(() => this._cut.delete(key));
      this._cut.set(key, cutting);
    }
    return this._cut.get(key);
  }

  close() {
    this._video.removeAttribute("src");
    this._video.load();
  }

  async _now(cameraId, frame, [x1, y1, x2, y2]) {
    const batch = this._recording.batchAt(this._recording.positionOf(frame) + 1e-6);
    const media = batch?.media.get(cameraId);
    const time = this._recording.mediaTimeOf(cameraId, frame);
    if (!media || time === null) throw new Error(`no video of ${cameraId} for frame ${frame}`);
    await this._goTo(await server.freshMediaUrl(this._recording.taskId, server.mediaUrl(media.url)), time + INTO_FRAME_S);
    const [dx, dy] = [(x2 - x1) * MARGIN, (y2 - y1) * MARGIN];
    const left = Math.max(0, x1 - dx);
    const top = Math.max(0, y1 - dy);
    const width = Math.min(this._video.videoWidth, x2 + dx) - left;
    const height = Math.min(this._video.videoHeight, y2 + dy) - top;
    const canvas = element("canvas", { height: HEIGHT_PX, width: Math.max(1, Math.round((HEIGHT_PX * width) / height)) });
    canvas.getContext("2d").drawImage(this._video, left, top, width, height, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  /** Until a picture has come, or a moment has passed: where the picture stays the same none comes. */
  _nextFrame() {
    return new Promise((resolve) => {
      this._video.requestVideoFrameCallback?.(resolve);
      setTimeout(resolve, NEW_FRAME_MS);
    });
  }

  async _goTo(url, time) {
    const plain = (href) => href.split("?")[0];
    if (!this._url || plain(this._url) !== plain(url)) {
      this._url = url;
      const loaded = happens(this._video, "loadeddata");
      this._video.src = url;
      await loaded;
    }
    if (Math.abs(this._video.currentTime - time) < INTO_FRAME_S / 2) return;
    const there = happens(this._video, "seeked");
    const shown = this._nextFrame();
    this._video.currentTime = time;
    await there;
    await shown;
  }
}

function happens(video, name) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    video.addEventListener(name, resolve, { once: true, signal });
    video.addEventListener("error", () => reject(new Error("the video cannot be read")), { once: true, signal });
    signal.addEventListener("abort", () => reject(new Error("the video is late")));
  });
}
