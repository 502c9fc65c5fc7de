import { CameraView } from "./camera.js";
import { element } from "./dom.js";

/** The cameras side by side; one of them may be large above the others. */
export class CameraGrid {
  /** `cameras` as the server lists them; `onPick(globalId | null)` for a click into a picture. */
  constructor(cameras, recording, onPick) {
    this.views = cameras.map((camera) => new CameraView(camera, recording, onPick, (view) => this.enlarge(view)));
    this.element = element("section", { class: "cameras", aria: { label: "Cameras" } }, ...this.views.map((view) => view.element));
    this.element.dataset.count = String(cameras.length);
  }

  /** Makes one large; asked for again, all are alike. */
  enlarge(chosen) {
    const large = !chosen.large;
    for (const view of this.views) view.large = large && view === chosen;
    if (large) chosen.element.scrollIntoView({ block: "nearest" });
  }
}
