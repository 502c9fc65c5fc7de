import { clockTime, element, icon } from "./dom.js";
import { personColour, personName } from "./people.js";
import * as server from "./server.js";

const ACCEPTED = ["image/jpeg", "image/png", "image/webp"];
const LARGE_BYTES = 4e6; // a picture of more is made smaller before it is sent
const LARGE_PX = 2048;

/** Who looks like this: a picture that is dropped, pasted or chosen, or somebody in focus. */
export class SearchPanel {
  /** `onShow(sighting)` when a result is chosen. */
  constructor(recording, cutter, onShow) {
    this._recording = recording;
    this._cutter = cutter;
    this._onShow = onShow;
    this._asked = 0;
    this._file = element("input", { type: "file", accept: ACCEPTED.join(","), hidden: true });
    this._file.addEventListener("change", () => {
      if (this._file.files[0]) this.picture(this._file.files[0]);
      this._file.value = ""; // so that the same file may be chosen again
    });
    this._zone = element("button", { class: "drop", type: "button", onclick: () => this._file.click() });
    this._showPicture(null);
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
  async picture(file) {
    const name = file.name || "That";
    this._asked += 1; // what was asked before is not waited for any more
    this._results.replaceChildren();
    this._showPicture(null);
    if (!ACCEPTED.includes(file.type)) return this._say(`${name} is no JPEG, PNG or WebP picture.`);
    if (!file.size) return this._say(`${name} is empty.`);
    try {
      const image = file.size > LARGE_BYTES ? await smaller(file) : file;
      this._showPicture(image);
      return this._search({ image });
    } catch {
      this._say(`${name} cannot be read as a picture.`);
    }
  }

  /** Searches for people who look like somebody. */
  like(globalId) {
    this.element.scrollIntoView({ block: "nearest" });
    this._showPicture(null);
    return this._search({ globalId });
  }

  _showPicture(image) {
    if (this._preview) URL.revokeObjectURL(this._preview);
    this._preview = image && URL.createObjectURL(image);
    const shown = image ? element("img", { src: this._preview, alt: "The picture that is searched for" }) : icon("picture");
    const words = image ? "Drop or choose another one" : "Drop a picture of somebody here, or choose one";
    this._zone.replaceChildren(shown, element("span", {}, words));
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
      const { sightings, alike_from: alikeFrom } = await server.search(what, this._where());
      if (asked !== this._asked) return;
      this._show(sightings, alikeFrom);
    } catch (error) {
      if (asked === this._asked) this._say(error.message);
    }
  }

  /** Who is alike at once; everybody else, whom a search always finds, too, on request. */
  _show(sightings, alikeFrom) {
    const alike = sightings.filter(({ similarity }) => similarity >= alikeFrom);
    const others = sightings.filter(({ similarity }) => similarity < alikeFrom);
    const tracks = alike.length === 1 ? "One track" : `${alike.length} tracks`;
    this._say(alike.length ? `${tracks}, the most similar person first.` : "Nobody who was seen here resembles them.");
    this._results.replaceChildren(...alike.map((each) => this._result(each)));
    if (!others.length) return;
    const onclick = () => more.replaceWith(...others.map((each) => this._result(each)));
    const words = `Show ${others.length} less similar`;
    const more = element("li", {}, element("button", { class: "secondary more", type: "button", onclick }, words));
    this._results.append(more);
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

/** The picture as a JPEG of at most LARGE_PX a side: people are compared at far less. */
async function smaller(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LARGE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no JPEG"))), "image/jpeg", 0.92));
}
