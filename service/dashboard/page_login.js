// Logging in with an API token: it becomes a cookie that scripts cannot read.

import { send } from "./api.js";
import { element } from "./dom.js";
import { field, form, input } from "./live.js";

// Where to go afterwards: only ever a page of ours.
const next = (page) => (page.query.get("next")?.startsWith("#/") ? page.query.get("next") : "#/");

export function open(page) {
  const token = input("token", { type: "password", required: true, autocomplete: "current-password" });
  const login = form("Log in", [element("div", { class: "whole" }, field("API token", token, "plb token create makes one; it stays in this browser as a cookie that scripts cannot read"))], "Log in", async (values) => {
    const session = await send("POST", "session", { token: values.get("token") });
    window.dispatchEvent(new CustomEvent("session", { detail: session }));
    location.hash = next(page);
    return `Logged in as ${session.name}.`;
  });
  page.root.append(element("div", { class: "login panel" }, page.heading("Log in"), login));
  token.focus();
}
