import { element, icon } from "./dom.js";
import * as server from "./server.js";

const EVERY_MS = 5000;
const CELL_M = 0.5;

/** Where people spend their time, laid under the map; brought up to date while it is on. */
export class Heatmap {
  constructor(taskId, map, onError) {
    this._taskId = taskId;
    this._map = map;
    this._onError = onError;
    this._on = false;
    this.button = element(
      "button",
      { class: "secondary toggle", type: "button", title: "Where people spend their time (H)", onclick: () => this.toggle(), aria: { pressed: "false" } },
      icon("heat"),
      "Heatmap",
    );
  }

  toggle() {
    this._on = !this._on;
    this.button.setAttribute("aria-pressed", String(this._on));
    if (this._on) this._fetch();
    else this._map.heat = null;
  }

  /** To be called now and then while more becomes known. */
  refresh() {
    if (this._on && performance.now() - this._fetchedAt > EVERY_MS) this._fetch();
  }

  async _fetch() {
    this._fetchedAt = performance.now();
    try {
      const heat = await server.heatmap(this._taskId, CELL_M);
      if (this._on) this._map.heat = heat;
    } catch (error) {
      this._onError(error);
    }
  }
}
