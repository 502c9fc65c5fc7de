import { clockTime, element, icon } from "./dom.js";
import { personColour, personName } from "./people.js";
import * as server from "./server.js";

const ACCEPTED = ["image/jpeg", "image/png", "image/webp"];

/** Who looks like this: a picture that is dropped, pasted or chosen, or somebody in focus. */
export class SearchPanel {
  /** `onShow(sighting)` when a result is chosen. */
  constructor(recording, cutter, onShow) {
    this._recording = recording;
    this._cutter = cutter;
    this._onShow = onShow;
    this._asked = 0;
    this._file = element("input", { type: "file", accept: ACCEPTED.join(","), hidden: true });
    this._file.addEventListener("change", () => this._file.files[0] && this.picture(this._file.files[0]));
    this._zone = element(
      "button",
      { class: "drop", type: "button", onclick: () => this._file.click() },
      icon("picture"),
      element("span", {}, "Drop a picture of somebody here, or choose one"),
    );
    this._scope = element(
      "select",
      { title: "Where to search", onchange: () => this._what && this._search(this._what) },
      element("option", { value: "task" }, "in this task"),
      element("option", { value: "environment" }, "in all tasks"),
    );
    this._scope.setAttribute("aria-label", "Where to search");
    this._status = element("p", { class: "facts", role: "status" });
    this._results = element("ol", { class: "results" });
    this.element = element(
      "section",
      { class: "search panel", aria: { label: "Search" } },
      element("header", {}, element("h2", {}, "Who looks like this?"), this._scope),
      this._zone,
      this._file,
      this._status,
      this._results,
    );
    this._listen();
  }

  close() {
    this._listening.abort();
    if (this._preview) URL.revokeObjectURL(this._preview);
  }

  /** Searches for whom a picture shows. */
  picture(file) {
    if (!ACCEPTED.includes(file.type)) return this._say(`${file.name || "That"} is no JPEG, PNG or WebP picture.`);
    if (this._preview) URL.revokeObjectURL(this._preview);
    this._preview = URL.createObjectURL(file);
    const shown = element("img", { src: this._preview, alt: "The picture that is searched for" });
    this._zone.replaceChildren(shown, element("span", {}, "Drop or choose another one"));
    return this._search({ image: file });
  }

  /** Searches for people who look like somebody. */
  like(globalId) {
    this.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
    return this._search({ globalId });
  }

  _where() {
    const { environment_id: environment, task_id: task } = this._recording.status;
    return this._scope.value === "task" ? { task_id: task } : { environment_id: environment };
  }

  async _search(what) {
    this._what = what;
    const asked = ++this._asked;
    this._results.replaceChildren();
    this._say("Searching …");
    try {
      const { sightings } = await server.search(what, this._where());
      if (asked !== this._asked) return;
      const tracks = sightings.length === 1 ? "One track" : `${sightings.length} tracks`;
      this._say(sightings.length ? `${tracks}, the most similar person first.` : "Nobody who was seen here resembles them.");
      this._results.replaceChildren(...sightings.map((each) => this._result(each)));
    } catch (error) {
      if (asked === this._asked) this._say(error.message);
    }
  }

  _result(sighting) {
    const { task_id: taskId, global_id: globalId, camera_id: cameraId, global_frame_index: frame, similarity, bbox } = sighting;
    const here = taskId === this._recording.taskId;
    const when = here ? `at ${clockTime(this._recording.positionOf(frame))}` : `in another task, ${new Date(sighting.time).toLocaleString()}`;
    const picture = element("span", { class: "waiting" });
    const button = element(
      "button",
      { class: "result", type: "button", data: { person: globalId ?? "" }, onclick: () => this._onShow(sighting) },
      picture,
      element("span", { class: "chip" }, personName(globalId)),
      element("span", {}, `${cameraId} ${when}`),
      element("b", { title: "Cosine similarity" }, similarity.toFixed(2)),
    );
    button.style.setProperty("--person", personColour(globalId));
    if (here) this._cutter.cut(cameraId, frame, bbox).then((canvas) => picture.replaceWith(canvas), () => picture.remove());
    else picture.remove();
    return element("li", {}, button);
  }

  _say(text) {
    this._status.textContent = text;
  }

  _listen() {
    this._listening = new AbortController();
    const { signal } = this._listening;
    const over = (on) => document.body.classList.toggle("dropping", on);
    const isFile = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragover", (event) => isFile(event) && (event.preventDefault(), over(true)), { signal });
    document.addEventListener("dragleave", (event) => event.relatedTarget || over(false), { signal });
    document.addEventListener(
      "drop",
      (event) => {
        if (!isFile(event)) return;
        event.preventDefault();
        over(false);
        if (event.dataTransfer.files[0]) this.picture(event.dataTransfer.files[0]);
      },
      { signal },
    );
    document.addEventListener("paste", (event) => event.clipboardData?.files[0] && this.picture(event.clipboardData.files[0]), { signal });
  }
}
