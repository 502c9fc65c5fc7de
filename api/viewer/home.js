import { ago, element } from "./dom.js";
import * as server from "./server.js";
import { statePill, stepWords } from "./status.js";

const RECENT = 12;
const MOST = 200; // tasks in one answer of the server
const REFRESH_MS = 3000;
const NAMES = { reid: "Re-ID", postgres: "PostgreSQL" }; // of parts, where theirs is not simply a word

/** The first page: environments to process, and tasks that were started. */
export class Home {
  constructor({ onOpen, onError }) {
    this._onOpen = onOpen;
    this._onError = onError;
    this._environments = element("div", { class: "cards" }, element("p", { class: "notice" }, "Loading …"));
    this._tasks = element("div", { class: "task-list" });
    this._shown = RECENT;
    this._older = element("button", { class: "secondary more", type: "button", hidden: true, onclick: () => this._showOlder() }, "Show older tasks");
    this._health = element("div", { class: "health", role: "status" });
    this.element = element(
      "main",
      { class: "home" },
      element("h1", {}, "Who was where?"),
      this._health,
      element("h2", {}, "Environments"),
      this._environments,
      element("h2", {}, "Recent tasks"),
      this._tasks,
      this._older,
    );
    this._refresh();
    this._timer = setInterval(() => this._refresh(), REFRESH_MS);
  }

  close() {
    clearInterval(this._timer);
  }

  async _refresh() {
    try {
      if (!this._known) {
        this._known = await server.environments();
        this._showEnvironments();
      }
      const { tasks, next } = await server.tasks(this._shown);
      this._showTasks(tasks);
      this._older.hidden = !next || this._shown >= MOST;
      this._showHealth(await server.health());
    } catch (error) {
      this._health.className = "health bad";
      this._health.textContent = error.message;
      this._healthFor = null;
      if (error.status === 401) this._onError(error);
    }
  }

  _showEnvironments() {
    const empty = element("p", { class: "notice" }, "The site file names no environment that you may see.");
    this._environments.replaceChildren(...(this._known.length ? this._known.map((each) => this._card(each)) : [empty]));
  }

  _card({ environment_id: id, name, cameras, recorded_from: from }) {
    const start = element("button", { class: "primary", type: "button", onclick: () => this._start(id, start) }, "Process");
    const said = `${cameras.length} ${cameras.length === 1 ? "camera" : "cameras"}: ${cameras.join(", ")}`;
    return element(
      "article",
      { class: "card panel", data: { environment: id } },
      element("h3", {}, name),
      element("p", {}, said),
      element("p", { class: "faint" }, from ? `Recorded ${new Date(from).toLocaleString()}` : "Date of recording unknown"),
      start,
    );
  }

  async _start(environmentId, button) {
    button.disabled = true;
    try {
      this._onOpen((await server.start({ environment_id: environmentId })).task_id);
    } catch (error) {
      button.disabled = false;
      this._onError(error);
    }
  }

  _showTasks(tasks) {
    if (!tasks.length) {
      this._tasks.replaceChildren(element("p", { class: "notice" }, "None yet: choose an environment above."));
      return;
    }
    const state = JSON.stringify(tasks.map((task) => [task, ago(task.created_at)]));
    if (state === this._tasksFor) return;
    this._tasksFor = state;
    const focused = document.activeElement?.dataset?.task;
    this._tasks.replaceChildren(...tasks.map((task) => this._taskRow(task)));
    if (focused) this._tasks.querySelector(`[data-task="${CSS.escape(focused)}"]`)?.focus();
  }

  _showOlder() {
    this._shown = Math.min(this._shown * 3, MOST);
    this._refresh();
  }

  _taskRow(task) {
    const name = this._known.find((each) => each.environment_id === task.environment_id)?.name ?? task.environment_id;
    return element(
      "button",
      { class: "task", type: "button", data: { task: task.task_id }, onclick: () => this._onOpen(task.task_id) },
      statePill(task),
      element("span", { class: "task-name" }, element("b", {}, name), element("small", {}, stepWords(task))),
      element("span", { class: "faint" }, ago(task.created_at)),
    );
  }

  _showHealth({ status, components }) {
    const down = Object.entries(components).filter(([, part]) => part.status !== "up");
    this._health.className = status === "healthy" ? "health" : "health bad";
    const said = down.map(([name, { detail }]) => [NAMES[name] ?? `${name.charAt(0).toUpperCase()}${name.slice(1).replaceAll("_", " ")}`, detail]);
    if (this._healthFor === JSON.stringify(said)) return;
    this._healthFor = JSON.stringify(said);
    this._health.replaceChildren(...said.map(([name, detail]) => element("p", {}, element("b", {}, name), `: ${detail}`)));
  }
}
