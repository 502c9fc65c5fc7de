/**
 * The only module that talks to the server: REST, the address of the WebSocket, and of media.
 *
 * Where access control is on, every call carries the bearer token, and addresses that a page opens without headers
 * (video, WebSocket) carry a short-lived ticket.
 */

const BASE = new URL(".", document.baseURI);
const API = "api/v1/";
const TOKEN_KEY = "spoton.token";
const DEADLINE_MS = 15_000;
const SEARCH_DEADLINE_MS = 60_000;
const SEARCH_PEOPLE = 12;
const TICKS_A_PAGE = 240;
const PIECE_BYTES = 2 ** 20;
/** Seen to go on by itself where an answer to a Range ends early; other browsers are given whole answers. */
const IN_PIECES = "chrome" in window;

let token = sessionStorage.getItem(TOKEN_KEY);

/** What the server said no with, or why it could not be asked; `message` is a sentence for people. */
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: no answer
  }
}

/** Remembers the token for this tab; an empty one forgets it. */
export function useToken(text) {
  token = text || null;
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
}

export function hasToken() {
  return token !== null;
}

export const environments = () => call(`${API}config/environments`);
export const cameras = (environmentId) => call(`${API}config/environments/${encodeURIComponent(environmentId)}/cameras`);
export const tasks = (limit, before) => call(`${API}processing-tasks?${query({ limit, before })}`);
export const status = (taskId) => call(`${task(taskId)}/status`);
export const start = (request) => call(`${API}processing-tasks/start`, { json: request });
export const control = (taskId, action, globalId) =>
  call(`${task(taskId)}/control`, { json: { action, ...(globalId && { global_id: globalId }) } });
/** A task's sub-videos, batch by batch: payloads of `media_available`. */
export const media = (taskId) => call(`${task(taskId)}/media`);
/** {ticks, next}: payloads of `tracking_update` from a frame on, and where the next page begins. */
export const ticks = (taskId, from) =>
  call(`${API}analytics_data/tasks/${encodeURIComponent(taskId)}/ticks?${query({ from_frame: from, limit: TICKS_A_PAGE })}`);
export const health = () => call("health");

export const heatmap = (taskId, cellM) => call(`${API}analytics_data/heatmap?${query({ task_id: taskId, cell_m: cellM })}`);
export const trajectory = (globalId, taskId) =>
  call(`${API}analytics_data/trajectory/${encodeURIComponent(globalId)}?${query({ task_id: taskId, simplify_m: 0.2 })}`);

/** Sightings of the people most similar to an image (a Blob) or to somebody's `globalId`; `where` limits the search. */
export function search({ image, globalId }, where) {
  const wanted = { limit: SEARCH_PEOPLE, ...where };
  if (globalId) {
    const json = { global_id: globalId, ...wanted };
    return call(`${API}analytics_data/search`, { json, deadlineMs: SEARCH_DEADLINE_MS });
  }
  const form = new FormData();
  form.set("image", image);
  for (const [name, value] of Object.entries(wanted)) form.set(name, String(value));
  return call(`${API}analytics_data/search`, { form, deadlineMs: SEARCH_DEADLINE_MS });
}

/** Where a task's messages after `since` are. A ticket is asked for anew with every connection. */
export async function trackingUrl(taskId, since) {
  const path = token ? (await call(`${task(taskId)}/ticket`, { json: {} })).websocket_url : `/ws/tracking/${taskId}`;
  const url = absolute(path);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("since", String(since));
  return url.href;
}

/**
 * The address of a video as it was announced; resolved here so that the page may live below a prefix.
 *
 * A browser opens six connections to a server. Videos that are sent in pieces take turns with them, however many cameras
 * there are; sent whole, the first six would keep the others waiting for as long as they load.
 */
export function mediaUrl(path) {
  const url = absolute(path);
  if (IN_PIECES) url.searchParams.set("piece", String(PIECE_BYTES));
  return url.href;
}

/** The same address with a ticket that has just been made, for a video whose ticket may have run out. */
export async function freshMediaUrl(taskId, href) {
  if (!token) return href;
  const { websocket_url: ticketed } = await call(`${task(taskId)}/ticket`, { json: {} });
  const url = new URL(href);
  const ticket = absolute(ticketed).searchParams.get("ticket");
  if (ticket) url.searchParams.set("ticket", ticket);
  return url.href;
}

/** Why a video is not given (a ServerError), or null where it is. */
export async function videoRefusal(href) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  try {
    const request = { method: "HEAD", headers, redirect: "manual", signal: AbortSignal.timeout(DEADLINE_MS) };
    const { ok, type, status } = await fetch(href, request);
    return ok || type === "opaqueredirect" ? null : new ServerError(status, `The server answered ${status}.`);
  } catch {
    return new ServerError(0, "The server cannot be reached.");
  }
}

function task(taskId) {
  return `${API}processing-tasks/${encodeURIComponent(taskId)}`;
}

function absolute(path) {
  return new URL(path.replace(/^\//, ""), BASE);
}

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null);
  return new URLSearchParams(given).toString();
}

async function call(path, { json, form, deadlineMs = DEADLINE_MS } = {}) {
  const request = { method: json || form ? "POST" : "GET", headers: {}, signal: AbortSignal.timeout(deadlineMs) };
  if (token) request.headers.authorization = `Bearer ${token}`;
  if (json) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(json);
  } else if (form) request.body = form;
  let answer, body;
  try {
    answer = await fetch(absolute(path), request);
    body = await answer.json();
  } catch (error) {
    if (answer && !answer.ok) throw new ServerError(answer.status, `The server answered ${answer.status}.`);
    const late = error.name === "TimeoutError";
    throw new ServerError(0, late ? `No answer within ${deadlineMs / 1000} seconds.` : "The server cannot be reached.");
  }
  if (!answer.ok) throw new ServerError(answer.status, sentence(body.detail ?? body.title ?? `status ${answer.status}`));
  return body;
}

function sentence(text) {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(upper) ? upper : `${upper}.`;
}
