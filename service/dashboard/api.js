// The service's API v1: the only thing that the dashboard asks.

const TIMEOUT_MS = 20_000;
const BASE = "../v1/";

// An answer that is an error; the message is the sentence of its problem document.
export class Problem extends Error {
  constructor(status, document) {
    super([document.detail ?? `the service answered ${status}`, ...(document.errors ?? []).map((each) => `${each.where}: ${each.what}`)].join("; "));
    this.status = status;
    this.reason = document.reason;
  }
}

export const enc = encodeURIComponent;

export function address(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(given);
  return `${BASE}${path}${query.size ? `?${query}` : ""}`;
}

async function request(url, options) {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
  const body = response.status === 204 ? null : await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401) window.dispatchEvent(new Event("loginneeded"));
  throw new Problem(response.status, body);
}

export const ask = (path, parameters) => request(address(path, parameters), {});

// Changes something. The header says that a page of ours asks, which no form of another site can.
export function send(method, path, body, { parameters, type = "application/json", timeoutMs = TIMEOUT_MS } = {}) {
  const headers = { "X-PLB-Dashboard": "1" };
  if (body !== undefined) headers["Content-Type"] = type;
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  return request(address(path, parameters), { method, headers, body: text, signal: AbortSignal.timeout(timeoutMs) });
}

// What went wrong, in a sentence for people.
export function sentence(error) {
  const unreachable = error instanceof TypeError || error.name === "TimeoutError";
  return unreachable ? "the service does not answer; check that `plb serve` runs" : error.message;
}
