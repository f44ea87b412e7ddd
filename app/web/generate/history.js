// The last requests, as permalinks, in this browser alone.
import { kept } from "../store.js";
import { html } from "../vendor/ui/ui.js";
import { readQuery } from "./request.js";

const KEPT = 50;
const past = kept(
  "history",
  /** @type {string[]} */ ([]),
  (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
);

/** @param {string} query of a request that was answered */
export function remember(query) {
  past.value = [query, ...past.value.filter((each) => each !== query)].slice(0, KEPT);
}

export function History() {
  if (past.value.length < 2) return null;
  return html`<details class="history">
    <summary>History (${past.value.length})</summary>
    <ol>
      ${past.value.map((query) => {
        const { model, label, each, count, seed } = readQuery(query) ?? {};
        return html`<li key=${query}><a href=${`/${query}`}>${model} · ${each ? "each class" : (label ?? "any class")} · ${count} from${" "}
          <span class="mono">${seed}</span></a></li>`;
      })}
    </ol>
    <button type="button" class="small" onClick=${() => (past.value = [])}>Forget them</button>
  </details>`;
}
