import { element, fitCanvas, themed } from "./dom.js";
import { personColour, personInk, personName } from "./people.js";

const TRAIL_S = 8;
const SMOOTH = 5; // frames that a path is averaged over: feet are found to some pixels only
const MARGIN_PX = 26;
const OUTLIERS = 0.005; // share of places at each end that do not count for the extent
const HIT_PX = 16;
const MORE = 1.05; // of the recording before its extent is found anew
const WHOLE_EVERY_MS = 1000;
const APART_M = 0.1; // points of a whole path are at least this far from each other
const SHAPES = [0.7, 1.8]; // the frame follows the extent's shape between these: width by height
const STEPS_M = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500];

/** The floor from above: where everybody is, where they came from, and where people spend their time. */
export class MapView {
  /** `cameras` as the server lists them; `onPick(globalId | null)` for a click. */
  constructor(recording, cameras, onPick) {
    this._heat = null;
    this.drawn = []; // [{globalId, x, y}] metres: who is drawn now
    this._recording = recording;
    this._focus = null;
    this._bounds = null;
    this._measuredTo = 0; // frame
    this._whole = null; // the way of who is in focus
    this._canvas = element("canvas", { class: "map", role: "img", aria: { label: "Map of where people are" } });
    this._placed = cameras.some((camera) => camera.has_homography);
    this._empty = element("p", { class: "notice" });
    this.element = element("div", { class: "map-frame" }, this._canvas, this._empty);
    this._canvas.addEventListener("click", (event) => onPick(this._hit(event)));
    this._canvas.addEventListener("pointermove", (event) => {
      this._canvas.style.cursor = this._hit(event) ? "pointer" : "default";
    });
    new ResizeObserver(() => this.draw(this._position ?? 0)).observe(this._canvas);
  }

  set focus(globalId) {
    this._focus = globalId;
    this.draw(this._position ?? 0);
  }

  /** An answer of the server's heatmap, or null. */
  set heat(answer) {
    this._heat = answer;
    this.draw(this._position ?? 0);
  }

  /** Finds the extent anew; it only grows, so that the map does not jump. The more is known, the more has to be new. */
  measure() {
    this._empty.hidden = this._bounds !== null;
    this._empty.textContent = this._emptyWords();
    const { lastFrame } = this._recording;
    if (lastFrame < this._measuredTo * MORE) return;
    const [xs, ys] = placesOf(this._recording.tracklets.values());
    if (!xs.length) return;
    this._measuredTo = lastFrame;
    this._empty.hidden = true;
    const [left, right] = extent(xs);
    const [bottom, top] = extent(ys);
    const known = this._bounds;
    this._bounds = known
      ? [Math.min(known[0], left), Math.min(known[1], bottom), Math.max(known[2], right), Math.max(known[3], top)]
      : [left, bottom, right, top];
    const shape = Math.max(right - left, 1) / Math.max(top - bottom, 1);
    this._canvas.style.aspectRatio = String(Math.min(Math.max(shape, SHAPES[0]), SHAPES[1]));
  }

  _emptyWords() {
    if (!this._placed) return "No camera here has a homography, so nobody has a place on the map.";
    return this._recording.ended ? "Nobody was given a place on the map." : "Nobody has a place on the map yet.";
  }

  draw(position) {
    this._position = position;
    const { context, width, height } = fitCanvas(this._canvas);
    context.clearRect(0, 0, width, height);
    this.drawn = [];
    if (!this._bounds) this.measure();
    if (!this._bounds || !width) return;
    this._view = this._fit(width, height);
    this._drawGrid(context, width, height);
    if (this._heat) this._drawHeat(context);
    const recording = this._recording;
    const frame = recording.frameAt(position);
    const since = recording.frameAt(Math.max(0, position - TRAIL_S));
    if (this._focus !== null) this._drawWholePath(context);
    const paths = [...recording.paths(Math.min(since, frame), frame)].map(([globalId, path]) => [globalId, smoothed(path)]);
    for (const [globalId, path] of paths) this._drawTrail(context, globalId, path);
    for (const [globalId, path] of paths) this._drawPerson(context, globalId, path, frame);
    context.globalAlpha = 1;
  }

  _fit(width, height) {
    const [left, bottom, right, top] = this._bounds;
    const room = [width - 2 * MARGIN_PX, height - 2 * MARGIN_PX];
    const scale = Math.max(1e-6, Math.min(room[0] / Math.max(right - left, 1), room[1] / Math.max(top - bottom, 1)));
    const x0 = width / 2 - ((left + right) / 2) * scale;
    const y0 = height / 2 + ((bottom + top) / 2) * scale;
    return { scale, x: (metres) => x0 + metres * scale, y: (metres) => y0 - metres * scale, x0, y0 };
  }

  _drawGrid(context, width, height) {
    const { scale, x, y, x0, y0 } = this._view;
    const step = STEPS_M.find((metres) => metres * scale >= 36) ?? 1000;
    context.strokeStyle = themed("--line");
    context.fillStyle = themed("--text-faint");
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    context.beginPath();
    for (let at = Math.ceil(-x0 / scale / step) * step; x(at) < width; at += step) line(context, x(at), 0, x(at), height);
    for (let at = Math.ceil((y0 - height) / scale / step) * step; y(at) > 0; at += step) line(context, 0, y(at), width, y(at));
    context.stroke();
    context.strokeStyle = context.fillStyle = themed("--text-dim");
    context.beginPath();
    line(context, 12, height - 12, 12 + step * scale, height - 12);
    line(context, 12, height - 16, 12, height - 8);
    line(context, 12 + step * scale, height - 16, 12 + step * scale, height - 8);
    context.stroke();
    context.textBaseline = "bottom";
    context.fillText(`${step} m`, 18, height - 14);
  }

  _drawHeat(context) {
    const { origin, cell_m: cell, seconds } = this._heat;
    const most = Math.max(...seconds.flat(), 1e-9);
    const { scale, x, y } = this._view;
    seconds.forEach((row, j) =>
      row.forEach((value, i) => {
        if (value <= 0) return;
        const share = Math.sqrt(value / most);
        context.fillStyle = `hsl(${45 - 35 * share} 95% ${30 + 30 * share}% / ${0.25 + 0.6 * share})`;
        const [left, top] = [x(origin[0] + i * cell), y(origin[1] + (j + 1) * cell)];
        context.fillRect(left, top, cell * scale + 0.5, cell * scale + 0.5);
      }),
    );
  }

  _drawWholePath(context) {
    context.globalAlpha = 0.9;
    context.strokeStyle = themed(personInk(this._focus));
    context.lineWidth = 2;
    context.setLineDash([2, 5]);
    for (const piece of this._wholePath()) this._stroke(context, piece);
    context.setLineDash([]);
  }

  /** Found anew when there is more of it, but not for every frame that is drawn. */
  _wholePath() {
    const { version } = this._recording;
    const now = performance.now();
    const known = this._whole;
    if (known?.of === this._focus && (known.version === version || now - known.at < WHOLE_EVERY_MS)) return known.pieces;
    const [path] = this._recording.paths(0, Infinity, this._focus).values();
    const pieces = path ? this._pieces(smoothed(path)).map(thinned) : [];
    this._whole = { of: this._focus, version, at: now, pieces };
    return pieces;
  }

  _drawTrail(context, globalId, path) {
    context.globalAlpha = this._focus === null || this._focus === globalId ? 0.75 : 0.15;
    context.strokeStyle = themed(personInk(globalId));
    context.lineWidth = this._focus === globalId ? 4 : 2.5;
    context.lineCap = context.lineJoin = "round";
    for (const piece of this._pieces(path)) this._stroke(context, piece);
  }

  _drawPerson(context, globalId, path, frame) {
    const [last, x, y] = path.at(-1);
    if (!this._recording.joined(last, frame) || frame - last > 3) return;
    this.drawn.push({ globalId, x, y });
    const [left, top] = [this._view.x(x), this._view.y(y)];
    const faded = this._focus !== null && this._focus !== globalId;
    context.globalAlpha = faded ? 0.35 : 1;
    context.beginPath();
    context.arc(left, top, this._focus === globalId ? 12 : 9.5, 0, 7);
    context.fillStyle = personColour(globalId);
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = themed(`light-dark(${personInk(globalId)}, var(--ground))`);
    context.stroke();
    context.fillStyle = "#0b1017";
    context.font = "700 11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(personName(globalId).slice(0, 3), left, top + 0.5);
    context.textAlign = "start";
  }

  _pieces(path) {
    const pieces = [];
    for (const point of path) {
      const last = pieces.at(-1);
      if (last && this._recording.joined(last.at(-1)[0], point[0])) last.push(point);
      else pieces.push([point]);
    }
    return pieces;
  }

  _stroke(context, path) {
    context.beginPath();
    for (const [, x, y] of path) context.lineTo(this._view.x(x), this._view.y(y));
    context.stroke();
  }

  _hit(event) {
    const away = ({ x, y }) => Math.hypot(this._view.x(x) - event.offsetX, this._view.y(y) - event.offsetY);
    const near = this.drawn.filter((each) => away(each) <= HIT_PX).sort((a, b) => away(a) - away(b));
    return near[0]?.globalId ?? null;
  }
}

function line(context, x1, y1, x2, y2) {
  context.moveTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
  context.lineTo(Math.round(x2) + 0.5, Math.round(y2) + 0.5);
}

function extent(values) {
  values.sort((a, b) => a - b);
  const cut = Math.floor(values.length * OUTLIERS);
  return [values[cut], values[values.length - 1 - cut]];
}

/** Some of the places of all tracklets, metres: [xs, ys]. */
function placesOf(tracklets) {
  const xs = [];
  const ys = [];
  for (const { places } of tracklets) {
    for (let row = 0; row < places.length; row += 7) {
      if (Number.isNaN(places.get(row, 0))) continue;
      xs.push(places.get(row, 0));
      ys.push(places.get(row, 1));
    }
  }
  return [xs, ys];
}

/** Each point as the mean of the points around it. */
function smoothed(path) {
  const half = Math.floor(SMOOTH / 2);
  return path.map(([frame], index) => {
    let [x, y, count] = [0, 0, 0];
    for (let at = Math.max(0, index - half); at <= Math.min(path.length - 1, index + half); at++) {
      if (Math.abs(path[at][0] - frame) > SMOOTH) continue;
      x += path[at][1];
      y += path[at][2];
      count += 1;
    }
    return [frame, x / count, y / count];
  });
}

/** Without the points that lie too close to the one before to be seen. */
function thinned(path) {
  const kept = [path[0]];
  for (const point of path) {
    const [, x, y] = kept.at(-1);
    if (Math.hypot(point[1] - x, point[2] - y) >= APART_M) kept.push(point);
  }
  return kept;
}
