import { CameraView } from "./camera.js";
import { element } from "./dom.js";

const MOST_COLUMNS = 4;

/** The cameras side by side; one of them may be large above the others. */
export class CameraGrid {
  /** `cameras` as the server lists them; `onPick(globalId | null)` for a click into a picture. */
  constructor(cameras, recording, onPick) {
    this.views = cameras.map((camera) => new CameraView(camera, recording, onPick, (view) => this.enlarge(view)));
    this.element = element("section", { class: "cameras", aria: { label: "Cameras" } }, ...this.views.map((view) => view.element));
    const columns = Math.min(Math.ceil(Math.sqrt(cameras.length)), MOST_COLUMNS);
    this.element.dataset.columns = String(columns);
    this.element.style.setProperty("--columns", String(columns));
  }

  /** Makes one large; asked for again, all are alike. */
  enlarge(chosen) {
    const large = !chosen.large;
    for (const view of this.views) view.large = large && view === chosen;
    if (large) chosen.element.scrollIntoView({ block: "nearest" });
  }
}
