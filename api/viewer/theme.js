import { element, forgetColours, icon } from "./dom.js";

const KEY = "spoton.theme";
const OTHER = { light: "dark", dark: "light" };

/** Light or dark: as the system has it, until somebody chooses the other, which this browser remembers. */
export class Theme {
  /** `onChange()` when what is drawn by hand has to be drawn anew. */
  constructor(onChange) {
    this._onChange = onChange;
    this._system = matchMedia("(prefers-color-scheme: light)");
    this._system.addEventListener("change", () => this._apply());
    this.button = element("button", { class: "ghost", type: "button", onclick: () => this.toggle() }, icon("theme"));
    this._apply();
  }

  get now() {
    return localStorage.getItem(KEY) ?? this._ofSystem;
  }

  toggle() {
    const wanted = OTHER[this.now];
    if (wanted === this._ofSystem) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, wanted);
    this._apply();
  }

  get _ofSystem() {
    return this._system.matches ? "light" : "dark";
  }

  _apply() {
    document.documentElement.style.colorScheme = this.now;
    const label = `To the ${OTHER[this.now]} colours`;
    this.button.title = `${label} (T)`;
    this.button.setAttribute("aria-label", label);
    forgetColours();
    this._onChange();
  }
}
