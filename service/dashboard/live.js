// Parts of a page that ask again and again while they are looked at, and forms that send.

import { sentence } from "./api.js";
import { button, element, fill, note, say } from "./dom.js";

const BACKOFF_MAX_MS = 15_000;

// Calls `work` now, and again `everyMs` after it has ended (0: not again); slower while it fails, and not while hidden.
// Returns a function that makes it run at once.
export function repeat(signal, everyMs, work) {
  let timer = 0;
  let failures = 0;
  let running = null;
  const wait = () => Math.min(BACKOFF_MAX_MS, everyMs * 2 ** failures);

  async function once() {
    try {
      await work();
      failures = 0;
    } catch (error) {
      failures += 1;
      console.info(error);
    }
    running = null;
    if (everyMs && !signal.aborted && !document.hidden) timer = setTimeout(run, wait());
  }

  function run() {
    clearTimeout(timer);
    if (signal.aborted) return Promise.resolve();
    return (running ??= once());
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden && everyMs) run(); }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  // An answer that is under way may be older than what was just changed: ask after it.
  return async () => { await running; return run(); };
}

// Fetches and draws one part of a page. Before the first answer a failure stands in its place, afterwards beside it.
export function part(signal, body, everyMs, fetcher, draw) {
  let last;
  const trouble = element("p", { class: "note", "data-tone": "bad", role: "alert", hidden: true });
  body.before(trouble);
  fill(body, element("p", { class: "empty", "aria-busy": "true" }, "Loading…"));
  return repeat(signal, everyMs, async () => {
    try {
      const data = await fetcher();
      if (signal.aborted) return;
      trouble.hidden = true;
      const text = JSON.stringify(data);
      if (text !== last) await draw(data);
      last = text;
    } catch (error) {
      if (signal.aborted) return;
      if (last === undefined) fill(body);
      trouble.textContent = last === undefined ? `This cannot be shown: ${sentence(error)}.` : `Not fresh any more: ${sentence(error)}.`;
      trouble.hidden = false;
      throw error;
    }
  });
}

// A labelled control. `hint` is read out with it.
let fields = 0;
export function field(label, control, hint) {
  const id = (control.id ||= `field-${(fields += 1)}`);
  const said = hint ? element("span", { class: "hint", id: `${id}-hint` }, hint) : null;
  if (said) control.setAttribute("aria-describedby", said.id);
  return element("div", { class: "field" }, element("label", { for: id }, label), control, said);
}

export const input = (name, more = {}) => element("input", { name, autocomplete: "off", spellcheck: "false", ...more });

export function select(name, choices, more = {}) {
  const options = choices.map((choice) => {
    const [value, text] = Array.isArray(choice) ? choice : [choice, choice];
    return element("option", { value }, text);
  });
  return element("select", { name, ...more }, options);
}

// A choice of few: [fieldset, function that tells the chosen value]; `act` is called with a newly chosen one.
export function switchOf(legend, name, choices, chosen, act) {
  const made = element("fieldset", { class: "switch" }, element("legend", { class: "unseen" }, legend), choices.map(([value, text]) =>
    element("label", {}, element("input", { type: "radio", name, value, checked: value === chosen }), element("span", {}, text))));
  const value = () => made.querySelector(":checked").value;
  made.addEventListener("change", () => act(value()));
  return [made, value];
}

// A form that sends: `act` gets its values and returns what to say. The button waits meanwhile; a failure stands below.
export function form(label, fieldNodes, verb, act) {
  const answer = element("p", { class: "answer", role: "status" });
  const submit = element("button", { type: "submit", class: "primary" }, verb);
  const made = element("form", { class: "form", "aria-label": label }, fieldNodes, element("div", { class: "form-end" }, submit, answer));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    await busy(submit, answer, () => act(new FormData(made), made));
  });
  return made;
}

async function busy(control, answer, act) {
  control.disabled = true;
  answer.dataset.tone = "idle";
  answer.textContent = "Working…";
  try {
    answer.textContent = (await act()) ?? "Done.";
    answer.dataset.tone = "good";
  } catch (error) {
    answer.textContent = `Not done: ${sentence(error)}.`;
    answer.dataset.tone = "bad";
    console.info(error);
  }
  control.disabled = false;
}

// A button that sends, after a question if one is given. What became of it is told in `answer` and aloud.
export function action(text, answer, act, { question, tone, key } = {}) {
  const made = button(text, async () => {
    if (question && !(await confirmed(question, text))) return;
    await busy(made, answer, act);
    say(answer.textContent);
  }, { class: tone === "bad" ? "danger" : null, "data-key": key ?? text });
  return made;
}

export const answerLine = () => element("p", { class: "answer", role: "status" });

// Asks before something that cannot be taken back.
export function confirmed(question, verb) {
  return new Promise((resolve) => {
    const id = "confirm-question";
    const dialog = element("dialog", { class: "confirm", "aria-labelledby": id }, element("p", { id }, question),
      element("form", { method: "dialog", class: "form-end" },
        element("button", { value: "no", autofocus: true }, "Keep"), element("button", { value: "yes", class: "danger" }, verb)));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export const failure = (error) => note(`This cannot be shown: ${sentence(error)}.`, "bad");
