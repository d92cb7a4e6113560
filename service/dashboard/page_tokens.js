// API tokens: list, make, revoke. A new one is shown once.

import { ask, enc, send } from "./api.js";
import { element, fill, note, panel, pill, table } from "./dom.js";
import { momentTime } from "./format.js";
import { action, answerLine, field, form, input, part, select } from "./live.js";
import { numberOr } from "./form_lines.js";

const MOST = 1000;

function state(token) {
  if (token.revoked_at) return pill("revoked");
  return token.valid ? pill("valid", "good") : pill("expired");
}

function makeForm(shown, refresh) {
  const fields = [
    field("Name", input("name", { required: true }), "the audit log shows it"),
    field("Role", select("role", [["viewer", "viewer: reads"], ["operator", "operator: acts too"], ["admin", "admin: changes rules too"]])),
    field("Expires after, days", input("expires_days", { type: "number", min: 1, placeholder: "never" }))];
  return form("Make a token", fields, "Make a token", async (values, made) => {
    const token = await send("POST", "tokens", {
      name: values.get("name"), role: values.get("role"), expires_days: numberOr(values.get("expires_days"), null) });
    fill(shown, note("This is shown once. Copy it now to where only its user can read it.", "idle"), element("p", { class: "log mono", id: "new-token" }, token.token));
    made.reset();
    await refresh();
    return `The token ${token.name} counts from now on.`;
  });
}

export function open(page) {
  const [box, body] = panel("Tokens");
  const [makePanel, make] = panel("Make a token");
  const answer = answerLine();
  const list = element("div", {});
  const shown = element("div", {});
  body.append(answer, list);
  const revoke = (token) => {
    if (!token.valid) return "";
    const made = action("Revoke", answer, async () => {
      await send("DELETE", `tokens/${enc(token.token_id)}`);
      await refresh();
      return `${token.name} opens nothing from now on.`;
    }, { question: `Revoke the token ${token.name}? Logins by it end, too.`, tone: "bad", key: `revoke ${token.token_id}` });
    made.classList.add("small");
    made.setAttribute("aria-label", `Revoke ${token.name}`);
    return made;
  };
  const refresh = part(page.signal, list, 0, () => ask("tokens", { limit: MOST }), ({ items }) => fill(list, table("API tokens", [
    { label: "Name", head: true, cell: (each) => element("span", { class: "name", title: each.token_id }, each.name) },
    { label: "Role", cell: (each) => each.role },
    { label: "State", cell: state },
    { label: "Made", nowrap: true, cell: (each) => momentTime(each.made_at) },
    { label: "Expires", nowrap: true, cell: (each) => (each.expires_at ? momentTime(each.expires_at) : "never") },
    { label: "Revoke", cell: revoke },
  ], items, "There are none yet.")));
  make.append(makeForm(shown, () => refresh()), shown);
  page.root.append(page.heading("API tokens"), box, makePanel);
}
