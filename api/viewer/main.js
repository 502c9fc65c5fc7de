/** The page: which view is open, by the address (`#/task/<id>`), and what is said to people. */

import { element, icon } from "./dom.js";
import { Home } from "./home.js";
import * as server from "./server.js";
import { Theme } from "./theme.js";
import { Workspace } from "./workspace.js";

const TOAST_MS = 6000;

const page = document.getElementById("page");
const toasts = element("div", { class: "toasts", role: "status", aria: { live: "polite" } });
const place = element("div", { class: "place" });
const state = element("div", { class: "state" });
const help = helpDialog();
const login = loginDialog();
let view = null;

/** For tests and the curious: what is on the screen now, as plain values that change nothing, and `seek` and `pause`. */
Object.defineProperty(window, "spoton", { get: () => Object.freeze(view?.snapshot?.() ?? {}) });

function open() {
  const { taskId, at } = parse(location.hash);
  view?.close();
  place.replaceChildren();
  state.replaceChildren();
  const onMove = (id, there) => location.hash !== hashOf(id, there) && history.replaceState(null, "", hashOf(id, there));
  const actions = { onOpen: (id, there) => (location.hash = hashOf(id, there)), onMove, onError: showError };
  view = taskId ? new Workspace(taskId, at, { ...actions, place, state }) : new Home(actions);
  main.replaceChildren(view.element);
  if (!taskId) document.title = "SpotOn";
}

/** `#/task/<id>?t=12.5&person=<global id>`; `t` in seconds, or `frame` in place of it. */
function hashOf(taskId, there = {}) {
  const given = Object.entries(there).filter(([, value]) => value !== null && value !== undefined);
  return `#/task/${encodeURIComponent(taskId)}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

function parse(hash) {
  const found = hash.match(/^#\/task\/([^/?]+)(?:\?(.*))?$/);
  if (!found) return {};
  const given = new URLSearchParams(found[2] ?? "");
  const at = {};
  for (const name of ["t", "frame"]) if (/^\d+(\.\d+)?$/.test(given.get(name) ?? "")) at[name] = Number(given.get(name));
  if (given.get("person")) at.person = given.get("person");
  return { taskId: decoded(found[1]), at };
}

/** An address that somebody cut short may end within an encoded character. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function showError(error) {
  if (error.status === 401) return askWho(server.hasToken() ? error.message : "");
  const toast = element("p", { class: "toast" }, error.message);
  toasts.append(toast);
  setTimeout(() => toast.remove(), TOAST_MS);
}

function askWho(refusal) {
  login.querySelector("[role=alert]").textContent = refusal;
  if (!login.open) login.showModal();
}

function helpDialog() {
  const keys = [
    ["Space", "play or pause"],
    ["← →", "one frame back or on (with Shift: five seconds)"],
    ["↑ ↓", "the person before or after, in focus"],
    ["− +", "slower, faster"],
    ["1 … 9", "that camera large, or as the others"],
    ["H", "heatmap on or off"],
    ["T", "light or dark"],
    ["Esc", "nobody in focus"],
    ["?", "this help"],
  ];
  const rows = keys.flatMap(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, what)]);
  const close = element("button", { class: "secondary", type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = element("dialog", { class: "panel" }, element("h2", {}, "Keys"), element("dl", {}, ...rows), close);
  dialog.setAttribute("aria-label", "Keys");
  return dialog;
}

function loginDialog() {
  const field = element("input", { type: "password", autocomplete: "off", required: true, name: "token" });
  const form = element(
    "form",
    {},
    element("h2", {}, "Access token"),
    element("p", {}, "This server asks who you are. An administrator makes a token with “python -m api token create”."),
    element("label", {}, "Token", field),
    element("p", { class: "refusal", role: "alert" }),
    element("button", { class: "primary", type: "submit" }, "Continue"),
  );
  const dialog = element("dialog", { class: "panel login" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    server.useToken(field.value.trim());
    field.value = "";
    open();
  });
  return dialog;
}

const helpButton = element("button", { class: "ghost", type: "button", title: "Keys (?)", onclick: () => help.showModal() }, icon("help"));
helpButton.setAttribute("aria-label", "Help: keys");
const logo = element("a", { class: "logo", href: "#/", title: "All environments and tasks" }, element("img", { src: "viewer/icon.svg", alt: "" }), "SpotOn");
const main = element("div", { class: "view" });
const theme = new Theme(() => view?.onTheme?.());
page.append(element("header", { class: "top" }, logo, place, state, theme.button, helpButton), main, toasts, help, login);

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, textarea, select") || document.querySelector("dialog[open]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") help.showModal();
  else if (event.key.toLowerCase() === "t") theme.toggle();
  else if (!view?.onKey?.(event)) return;
  event.preventDefault();
});
window.addEventListener("hashchange", open);
open();
