// Keyboard shortcuts: one place that knows them all, a sheet on `?`, and a switch that turns the
// single letters off (WCAG 2.1.4).
import { Dialog, Toggle } from "./parts.js";
import { kept } from "./store.js";
import { html, signal, useLayoutEffect, useRef } from "./vendor/ui/ui.js";

export const shortcutsOn = kept("shortcuts", true, (value) => typeof value === "boolean");
const sheetOpen = signal(false);
/** @type {Set<{current: [string, string, (event: KeyboardEvent) => void][]}>} */
const tables = new Set();

const EVERYWHERE = [
  ["?", "Show this sheet", () => (sheetOpen.value = true)],
  ["g", "Go to Generate", () => go("/")],
  ["t", "Go to Runs", () => go("/ui/runs")],
  ["m", "Go to Models", () => go("/ui/models")],
  ["d", "Go to Datasets", () => go("/ui/datasets")],
  ["e", "Go to Readers", () => go("/ui/reader-studies")],
];

function go(path) {
  document.querySelector(`nav a[href="${path}"]`)?.click();
}

const typing = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])"));

/** A key as the sheet names it. @param {KeyboardEvent} event */
function named(event) {
  if (event.key === " ") return "Space";
  return event.ctrlKey || event.metaKey ? `Ctrl+${event.key}` : event.key;
}

/** Whether what has the focus does something with a key itself: it is pressed, slides or scrolls. */
function own(key, focused) {
  const moves = /^(Arrow|Home$|End$)/.test(key);
  if (moves && focused.closest("input, [tabindex='0']:is([role=region], pre)")) return true;
  const presses = /^(Arrow|Space$|Enter$)/.test(key);
  return presses && focused.closest("button, a, summary, [role=radiogroup], input") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  const key = named(event);
  const chord = event.ctrlKey || event.metaKey;
  if (!chord && (!shortcutsOn.value || typing(event.target))) return;
  // An open dialog has the keyboard for itself.
  if (document.querySelector("dialog[open]")) return;
  if (event.target instanceof HTMLElement && own(key, event.target)) return;
  for (const table of [...[...tables].reverse().map((each) => each.current), EVERYWHERE]) {
    const found = table.find(([name]) => name.split(" ").includes(key));
    if (!found) continue;
    event.preventDefault();
    found[2](event);
    return;
  }
});

/**
 * The shortcuts of a component, while it is there; the last one that came wins.
 * @param {[string, string, (event: KeyboardEvent) => void][]} table keys (by spaces), words, deed
 */
export function useShortcuts(table) {
  const latest = useRef(table);
  latest.current = table;
  // As soon as the component shows.
  useLayoutEffect(() => {
    tables.add(latest);
    return () => tables.delete(latest);
  }, []);
}

export const openSheet = () => (sheetOpen.value = true);

/** The sheet itself, rendered once. */
export function Shortcuts() {
  if (!sheetOpen.value) return null;
  const rows = [...[...tables].flatMap((each) => each.current), ...EVERYWHERE];
  return html`<${Dialog} title="Keyboard" class="sheet" onClose=${() => (sheetOpen.value = false)}>
    <p>
      <${Toggle} on=${shortcutsOn.value} onChange=${(on) => (shortcutsOn.value = on)}>
        Single-key shortcuts ${shortcutsOn.value ? "on" : "off"}
      <//>
    </p>
    <table class="keys">
      <tbody>
        ${rows.map(
          ([keys, words]) => html`<tr key=${keys}>
            <th scope="row">${keys.split(" ").map((key, i) => [i > 0 && " ", html`<kbd>${key}</kbd>`])}</th>
            <td>${words}</td>
          </tr>`,
        )}
      </tbody>
    </table>
    <form method="dialog" class="dialog-end"><button autofocus>Close</button></form>
  <//>`;
}
