// The frame: which page the address names, the state of the balancer on top, log-in and log-out.
//
// A page is a module with `title` and `open(page)`. It gets
//   root      where to draw
//   args      what stands behind its name in the address, decoded
//   query     the address's parameters
//   signal    aborted when it is left
//   onStatus  calls a function with each new /v1/status, which is asked for once for all
//   heading   makes the page's h1

import { ask, send, sentence } from "./api.js";
import { $, element } from "./dom.js";
import { drawHead } from "./head.js";
import { repeat } from "./live.js";

const STATUS_MS = 1000;
const PAGES = {
  "": () => import("./page_overview.js"),
  "order-params": () => import("./page_order_params.js"),
  "order-param": () => import("./page_order_param.js"),
  shards: () => import("./page_shard.js"),
  migrations: () => import("./page_migrations.js"),
  migration: () => import("./page_migration.js"),
  plans: () => import("./page_plans.js"),
  plan: () => import("./page_plan.js"),
  capacity: () => import("./page_capacity.js"),
  events: () => import("./page_events.js"),
  models: () => import("./page_models.js"),
  model: () => import("./page_model.js"),
  decisions: () => import("./page_decisions.js"),
  decision: () => import("./page_decision.js"),
  audit: () => import("./page_audit.js"),
  orders: () => import("./page_orders.js"),
  tokens: () => import("./page_tokens.js"),
  settings: () => import("./page_settings.js"),
  login: () => import("./page_login.js"),
};
// A name with something behind it has a page of its own.
const ONE_OF = { "order-params": "order-param", migrations: "migration", plans: "plan", decisions: "decision", models: "model" };

const shell = { status: null, listeners: new Set(), leave: null, askAgain: null };

// Returns what the address names: "#/plans/7?x=y" -> page "plan", args ["7"].
function routeOf(hash) {
  const old = hash.match(/^#order-param=(.*)$/); // addresses of the first dashboard
  const [path, query] = (old ? `#/order-params/${old[1]}` : hash || "#/").slice(1).split("?");
  const [, name, ...rest] = path.split("/");
  const args = rest.filter(Boolean).map(decodeURIComponent);
  return { name: name ?? "", page: args.length && ONE_OF[name] ? ONE_OF[name] : name ?? "", args, query: new URLSearchParams(query) };
}

function markNav(name) {
  for (const each of document.querySelectorAll("#nav a")) {
    if (each.getAttribute("href") === `#/${name}`) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  closeMenu();
}

function pageFor(route, signal) {
  return {
    ...route,
    root: $("main"),
    signal,
    onStatus(draw) {
      shell.listeners.add(draw);
      signal.addEventListener("abort", () => shell.listeners.delete(draw));
      if (shell.status) draw(shell.status);
    },
    heading(text, ...aside) {
      document.title = `${text} · plb-ray`;
      return element("div", { class: "page-head" }, element("h1", { id: "page-title", tabindex: "-1" }, text), ...aside);
    },
    askStatus: () => shell.askAgain?.(),
  };
}

async function show({ first = false } = {}) {
  const route = routeOf(location.hash);
  shell.leave?.abort();
  const leave = (shell.leave = new AbortController());
  markNav(route.name);
  try {
    if (!Object.hasOwn(PAGES, route.page)) throw new Error(`there is no page ${JSON.stringify(route.name)}`);
    const module = await PAGES[route.page]();
    if (leave.signal.aborted) return;
    $("main").replaceChildren();
    await module.open(pageFor(route, leave.signal));
  } catch (error) {
    console.info(error);
    const heading = pageFor(route, leave.signal).heading("Not shown");
    $("main").replaceChildren(heading, element("p", { class: "note", role: "alert" }, `${sentence(error)}.`));
  }
  if (!first && !leave.signal.aborted) {
    scrollTo(0, 0);
    $("page-title")?.focus({ preventScroll: true });
  }
}

function showTrouble(text, tone = "bad") {
  const noAnswer = Boolean(text) && tone === "bad";
  $("connection").hidden = !noAnswer;
  $("connection").dataset.tone = "bad";
  $("connection").textContent = "no answer";
  document.body.classList.toggle("stale", noAnswer && shell.status !== null);
  $("banner").hidden = !text;
  $("banner").dataset.tone = tone;
  if ($("banner").textContent !== text) $("banner").textContent = text;
}

async function refreshStatus() {
  if (location.hash.startsWith("#/login")) return;
  try {
    shell.status = await ask("status");
  } catch (error) {
    if (error.status === 401) return;
    showTrouble(`No fresh figures: ${sentence(error)}. Trying again every few seconds.`);
    throw error;
  }
  showTrouble(shell.status.last_error ? `The last tick reported: ${shell.status.last_error}` : "", "warn");
  drawHead(shell.status);
  for (const draw of shell.listeners) draw(shell.status);
}

// Who is logged in; while authentication is off there is nobody to name.
function drawSession({ authentication, name, role }) {
  const known = authentication && name !== null;
  $("who").textContent = known ? `${name}, ${role}` : "";
  $("logout").hidden = !known;
}

// ---- what people do

function closeMenu() {
  document.body.classList.remove("menu-open");
  $("menu").setAttribute("aria-expanded", "false");
}

$("menu").addEventListener("click", () => {
  const opened = document.body.classList.toggle("menu-open");
  $("menu").setAttribute("aria-expanded", String(opened));
});
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeMenu(); });
window.addEventListener("hashchange", () => show());
window.addEventListener("loginneeded", () => {
  if (location.hash.startsWith("#/login")) return;
  location.hash = `#/login?next=${encodeURIComponent(location.hash || "#/")}`;
});
window.addEventListener("session", ({ detail }) => { drawSession(detail); shell.askAgain(); });
$("logout").addEventListener("click", async () => {
  drawSession(await send("DELETE", "session"));
  location.hash = "#/login";
});

show({ first: true });
ask("session").then(drawSession).catch(console.info);
shell.askAgain = repeat(new AbortController().signal, STATUS_MS, refreshStatus);
