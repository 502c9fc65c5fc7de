import { clockTime, element, icon } from "./dom.js";
import { personColour, personName } from "./people.js";

const RATES = [0.25, 0.5, 1, 2, 4];

/** Play, pause, step, speed, and the time; on small screens the way to who is in focus, too. */
export class Transport {
  /** `onPerson()`: to who is in focus. */
  constructor(player, recording, onPerson) {
    this._player = player;
    this._recording = recording;
    const button = (label, name, onclick) => {
      const made = element("button", { class: "ghost", type: "button", title: label, onclick }, icon(name));
      made.setAttribute("aria-label", label);
      return made;
    };
    this._play = button("Play (space)", "play", () => player.toggle());
    this._play.classList.add("play");
    this._time = element("span", { class: "time", role: "timer" });
    this._notice = element("span", { class: "waiting-for", role: "status" });
    this._rate = element("select", { title: "Speed", onchange: () => (player.rate = Number(this._rate.value)) });
    this._rate.setAttribute("aria-label", "Speed");
    this._rate.append(...RATES.map((rate) => element("option", { value: String(rate), selected: rate === 1 }, `${rate}×`)));
    this._person = element("button", { class: "ghost in-focus", type: "button", hidden: true, onclick: onPerson });
    this._live = element("button", { class: "secondary live", type: "button", title: "To the newest results", onclick: () => this._toNewest() }, "Newest");
    this.element = element(
      "div",
      { class: "transport panel", role: "toolbar", aria: { label: "Playback" } },
      button("One frame back (←)", "back", () => player.step(-1)),
      this._play,
      button("One frame on (→)", "next", () => player.step(1)),
      this._time,
      this._notice,
      this._person,
      this._live,
      this._rate,
    );
  }

  set focus(globalId) {
    this._person.hidden = globalId === null;
    if (globalId === null) return;
    this._person.style.setProperty("--person", personColour(globalId));
    this._person.replaceChildren(element("span", { class: "chip" }, personName(globalId)));
    this._person.title = `What is known of person ${personName(globalId)}`;
    this._person.setAttribute("aria-label", this._person.title);
  }

  /** The next speed up (1) or down (-1). */
  faster(direction) {
    const at = RATES.indexOf(this._player.rate) + direction;
    this._player.rate = RATES[Math.min(Math.max(0, at), RATES.length - 1)];
  }

  draw() {
    const { playing, waiting, position, rate } = this._player;
    if (this._drawnPlaying !== playing) {
      this._drawnPlaying = playing;
      this._play.replaceChildren(icon(playing ? "pause" : "play"));
      this._play.title = playing ? "Pause (space)" : "Play (space)";
      this._play.setAttribute("aria-label", this._play.title);
    }
    const { duration, isFinal } = this._recording;
    this._time.textContent = `${clockTime(position, 1)} / ${clockTime(duration)}`;
    const said = !playing || !waiting ? "" : waiting === "results" ? "Waiting for results …" : "Buffering …";
    if (this._notice.textContent !== said) this._notice.textContent = said;
    this._rate.value = String(rate);
    this._live.hidden = isFinal;
  }

  _toNewest() {
    this._player.seek(Math.max(0, this._recording.knownUntil - 1));
    this._player.play();
  }
}
