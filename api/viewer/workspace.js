import { CropCutter } from "./crops.js";
import { element } from "./dom.js";
import { CameraGrid } from "./grid.js";
import { Heatmap } from "./heatmap.js";
import { MapView } from "./map.js";
import { Messages } from "./messages.js";
import { personName } from "./people.js";
import { PersonPanel } from "./person.js";
import { Player } from "./player.js";
import { Recording } from "./recording.js";
import { SearchPanel } from "./search.js";
import * as server from "./server.js";
import { stepWords, TaskBar } from "./status.js";
import { Timeline } from "./timeline.js";
import { Transport } from "./transport.js";

const REFRESH_MS = 500; // of everything that is not tied to a frame
const ADDRESS_EVERY_MS = 3000; // while it plays: browsers refuse pages that change theirs too often

/** One task: its cameras, map, timeline and people, all at the same position and with the same person in focus. */
export class Workspace {
  /** `at`: {t, frame, person}, whatever a link names to begin with: seconds, a global frame index, a global id. */
  constructor(taskId, at, { onOpen, onMove, onError, place, state }) {
    this._taskId = taskId;
    this._at = at;
    this._onOpen = onOpen;
    this._onMove = onMove;
    this._onError = onError;
    this._place = place;
    this._state = state;
    this._said = element("p", { class: "unseen", role: "status" });
    this._focus = null;
    this._closed = false;
    this.recording = new Recording(taskId);
    this.element = element("main", { class: "workspace" }, element("p", { class: "notice big", role: "status" }, "Opening the task …"));
    this._begin();
  }

  close() {
    this._closed = true;
    clearInterval(this._timer);
    this._messages?.close();
    this._player?.close();
    this._cutter?.close();
    this._search?.close();
  }

  onKey(event) {
    if (!this._player) return false;
    if (event.target.matches?.("button, a") && (event.key === " " || event.key === "Enter")) return false;
    const actions = {
      " ": () => this._player.toggle(),
      ArrowLeft: () => this._move(event, -1),
      ArrowRight: () => this._move(event, 1),
      ArrowUp: () => this._focusNext(-1),
      ArrowDown: () => this._focusNext(1),
      Escape: () => this.focus(null),
      "+": () => this._transport.faster(1),
      "=": () => this._transport.faster(1),
      "-": () => this._transport.faster(-1),
      h: () => this._heatmap.toggle(),
    };
    const camera = this._cameras[Number(event.key) - 1];
    const enlarge = camera && (() => this._grid.enlarge(camera));
    const action = actions[event.key] ?? actions[event.key.toLowerCase()] ?? enlarge;
    action?.();
    return Boolean(action);
  }

  /** Emphasises somebody everywhere; other viewers of a running task follow. */
  focus(globalId, { tell = true } = {}) {
    if (globalId === this._focus) return;
    this._focus = globalId;
    for (const part of [...this._cameras, this._map, this._timeline, this._transport]) part.focus = globalId;
    this._person.show(globalId);
    this._person.draw(this._player.position);
    this._said.textContent = globalId === null ? "Nobody in focus." : `Person ${personName(globalId)} in focus.`;
    if (!tell || this.recording.isFinal) return;
    // Somebody who may only look keeps the focus to themselves.
    server.control(this._taskId, globalId === null ? "clear_focus" : "focus_track", globalId).catch(() => {});
  }

  /** Draws anew what the page's colours are in. */
  onTheme() {
    if (this._player) this._draw();
  }

  /** What is on the screen, as plain values. */
  snapshot() {
    if (!this._player) return {};
    const { position, playing, settled, waiting, rate } = this._player;
    const cameras = this._cameras.map((view) => [view.id, view.shown && plain(view.shown)]);
    return {
      taskId: this._taskId,
      status: this.recording.status?.status ?? null,
      connection: this._messages.connection,
      position,
      frame: this.recording.frameAt(position),
      playing,
      filling: this.recording.filling,
      settled,
      waiting,
      rate,
      duration: this.recording.duration,
      knownUntil: this.recording.knownUntil,
      focus: this._focus,
      cameras: Object.fromEntries(cameras),
      map: this._map.drawn,
      people: [...this.recording.people.keys()],
      seek: (to) => this._player.seek(to),
      pause: () => this._player.pause(),
    };
  }

  async _begin() {
    let found;
    try {
      const status = await server.status(this._taskId);
      this.recording.status = status;
      const chosen = (id) => !status.cameras || status.cameras.includes(id);
      found = (await server.cameras(status.environment_id)).filter(({ camera_id: id }) => chosen(id));
      this._environment = (await server.environments()).find((each) => each.environment_id === status.environment_id);
    } catch (error) {
      return this._fail(error);
    }
    if (this._closed) return;
    this._build(found);
    this._messages = new Messages(this.recording, {
      onTold: (type) => this._told(type),
      onChange: () => this._showBanner(),
      onRefused: (error) => this._onError(error),
    });
    this._messages.open();
    this._timer = setInterval(() => this._refresh(), REFRESH_MS);
  }

  _fail(error) {
    if (this._closed) return;
    const again = element("button", { class: "primary", type: "button", onclick: () => this._begin() }, "Try again");
    this.element.replaceChildren(element("div", { class: "failure", role: "alert" }, element("p", {}, error.message), again));
    if (error.status === 401) this._onError(error);
  }

  _build(cameras) {
    const { recording } = this;
    const pick = (globalId, keep = false) => this.focus(globalId === this._focus && !keep ? null : globalId);
    const seek = (position) => this._player.seek(position);
    this._grid = new CameraGrid(cameras, recording, pick);
    this._cameras = this._grid.views;
    this._map = new MapView(recording, cameras, pick);
    const ids = cameras.map((camera) => camera.camera_id);
    this._timeline = new Timeline(recording, ids, pick, seek);
    this._cutter = new CropCutter(recording);
    this._person = new PersonPanel(recording, this._cutter, cameras, {
      onSeek: seek,
      onClose: () => this.focus(null),
      onSimilar: (globalId) => this._search.like(globalId),
    });
    this._search = new SearchPanel(recording, this._cutter, (sighting) => this._show(sighting));
    this._player = new Player(recording, this._cameras, () => this._draw());
    this._transport = new Transport(this._player, recording, () => this._person.element.scrollIntoView({ block: "nearest" }));
    this._heatmap = new Heatmap(this._taskId, this._map, this._onError);
    this._bar = new TaskBar((action) => this._control(action));
    this._banner = element("p", { class: "banner", role: "status", hidden: true });
    const map = element(
      "section",
      { class: "panel map-panel", aria: { label: "Map" } },
      element("header", {}, element("h2", {}, "Map"), this._heatmap.button),
      this._map.element,
    );
    this.element.replaceChildren(
      this._banner,
      this._said,
      element("div", { class: "stage" }, this._grid.element, this._transport.element, this._timeline.element),
      element("aside", { class: "side" }, map, this._person.element, this._search.element),
    );
    const name = this._environment?.name ?? this.recording.status.environment_id;
    this._place.replaceChildren(element("h1", {}, name));
    document.title = `${name} · SpotOn`;
    this._state.replaceChildren(...this._bar.parts);
    this._showState();
    if (!this.recording.isFinal) this._player.play();
  }

  _told(type) {
    if (type === "status_update") this._showState();
    const isLive = !this.recording.isFinal; // whom somebody had in focus while it ran is of the past
    if (type === "focus_changed" && isLive) this.focus(this.recording.focus, { tell: false });
  }

  _draw() {
    const { position } = this._player;
    for (const view of this._cameras) view.redraw();
    this._map.draw(position);
    this._timeline.draw(position);
    this._transport.draw();
    this._person.draw(position);
  }

  _refresh() {
    this._arrive();
    this._noteAddress();
    if (this._refreshed === this.recording.version) return;
    this._refreshed = this.recording.version;
    this._map.measure();
    this._timeline.refresh();
    this._person.refresh();
    this._heatmap.refresh();
  }

  _showState() {
    this._bar.show(this.recording.status);
    this._showBanner();
  }

  /** The one thing that is wrong, if anything is. */
  _showBanner() {
    const { status } = this.recording;
    const failed = status.status === "FAILED" ? `The task failed: ${stepWords(status) || "nothing more is known."}` : "";
    const text = failed || this._messages?.trouble || "";
    this._banner.hidden = !text;
    if (this._banner.textContent !== text) this._banner.textContent = text;
  }

  /** Goes to a sighting that was searched for, in this task or another. */
  _show({ task_id: taskId, global_frame_index: frame, global_id: person }) {
    if (taskId === this._taskId) this._goTo({ frame, person });
    else this._onOpen(taskId, { frame, person });
  }

  _goTo({ frame, person }) {
    this._stand(this.recording.positionOf(frame) + 1e-4, person);
  }

  _stand(position, person) {
    this._at = {};
    this._player.pause();
    this._player.seek(position);
    if (person) this.focus(person);
  }

  /** Goes where the link leads as soon as that is known. */
  _arrive() {
    const { recording } = this;
    const { t, frame, person } = this._at;
    if (frame !== undefined) {
      if (recording.lastFrame >= frame) this._goTo(this._at);
    } else if (t !== undefined) {
      if (recording.batches.length && (recording.knownUntil >= t || recording.isWhole)) this._stand(t, person);
    } else if (person) {
      const found = recording.people.get(person);
      if (found) return this._goTo({ frame: found.firstFrame, person });
      if (!recording.isWhole || this._messages.connection !== "ended") return;
      this._at = {};
      this._onError(new Error(`Nobody in this task is called ${person}.`));
    }
  }

  /** Keeps time and person in the page's address, so that a reload or a link leads back here. */
  _noteAddress() {
    if (Object.keys(this._at).length) return;
    const { playing, position } = this._player;
    if (playing && performance.now() - (this._notedAt ?? 0) < ADDRESS_EVERY_MS) return;
    this._notedAt = performance.now();
    const t = Math.ceil(position * 1000) / 1000; // up, so as not to end before the frame
    this._onMove(this._taskId, { t: t || null, person: this._focus });
  }

  async _control(action) {
    try {
      this.recording.status = await server.control(this._taskId, action);
      this._showState();
    } catch (error) {
      this._onError(error);
    }
  }

  _move({ shiftKey }, direction) {
    if (shiftKey) this._player.seek(this._player.position + 5 * direction);
    else this._player.step(direction);
  }

  _focusNext(step) {
    const people = [...this.recording.people.keys()];
    if (!people.length) return;
    const at = people.indexOf(this._focus);
    const next = at < 0 ? (step > 0 ? 0 : people.length - 1) : (at + step + people.length) % people.length;
    this.focus(people[next]);
  }
}

function plain({ batch, mediaTime, frame, exact, boxes }) {
  const flat = boxes.map(({ tracklet, globalId, box }) => ({ track: tracklet.trackId, globalId, box }));
  return { batch, mediaTime, frame, exact, boxes: flat };
}
