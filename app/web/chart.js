// The live chart of a run: losses above, D's outputs below, one cursor, and the same as a table.
import { h } from "./dom.js";
import { number } from "./format.js";
import { createPanel } from "./panel.js";

const DRAW_MS = 400;
const COLUMNS = [
  ["x", "Epoch"],
  ["loss_d", "Loss D"],
  ["loss_g", "Loss G"],
  ["d_x", "D(x)"],
  ["d_g_z1", "D(G(z)) before"],
  ["d_g_z2", "D(G(z)) after"],
];

const GLOSSARY = [
  ["Loss D, Loss G", "What the discriminator and the generator each try to make small."],
  ["D(x)", "The discriminator's mean belief that real images are real: 1 is certain."],
  [
    "D(G(z))",
    "The same for synthetic images, before and after its own step. Near 0.5 on both, the two are in balance.",
  ],
];

function toggle(label, change) {
  const button = h("button", { type: "button", class: "small", "aria-pressed": "false" }, label);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    change(on);
  });
  return button;
}

/** @param {AbortSignal} signal aborts when the view is left */
export function createChart(signal) {
  let log = false;
  let paused = false;
  let metrics = null;
  let cursor = null;
  let chosen = null;
  let timer = 0;

  const losses = createPanel({
    title: "Loss",
    height: 212,
    log: () => log,
    series: [
      { key: "loss_d", name: "D", kind: "loss-d" },
      { key: "loss_g", name: "G", kind: "loss-g" },
    ],
  });
  const beliefs = createPanel({
    title: "D(x), D(G(z))",
    height: 156,
    max: 1,
    xAxis: true,
    series: [
      { key: "d_x", name: "D(x)", kind: "d-x" },
      { key: "d_g_z1", name: "D(G(z)) before", kind: "d-gz1" },
      { key: "d_g_z2", name: "D(G(z)) after", kind: "d-gz2" },
    ],
  });
  const panels = [losses, beliefs];
  const where = h("span", { class: "hint" }, "");
  const waiting = h("p", { class: "hint waiting" }, "The curves begin with the first step.");
  const plots = h("div", { class: "plots" }, ...panels.map((p) => p.element));
  const table = h("div", {
    class: "table-box",
    role: "region",
    "aria-label": "Values by epoch",
    tabindex: 0,
    hidden: true,
  });
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": "curves" },
    h(
      "div",
      { class: "bar" },
      h("h2", { id: "curves" }, "Curves"),
      where,
      h(
        "div",
        { class: "bar-end" },
        toggle("Log scale", (on) => ((log = on), redraw())),
        toggle("Pause updates", (on) => ((paused = on), on || redraw())),
        toggle("Data table", (on) => ((table.hidden = !on), (plots.hidden = on), redraw())),
      ),
    ),
    waiting,
    plots,
    table,
    h(
      "details",
      { class: "glossary" },
      h("summary", {}, "What the curves mean"),
      h("dl", {}, ...GLOSSARY.flatMap(([term, words]) => [h("dt", {}, term), h("dd", {}, words)])),
      h(
        "p",
        { class: "hint" },
        "Where steps are closer than the screen can show, a line is their mean and the band behind it their range.",
      ),
    ),
  );

  function redraw() {
    const points = metrics?.points() ?? [];
    waiting.hidden = points.length > 0;
    plots.hidden = points.length === 0 || !table.hidden;
    if (!table.hidden) table.replaceChildren(asTable(metrics?.epochs() ?? []));
    const width = Math.floor(plots.clientWidth);
    if (plots.hidden || width < 80) return;
    const xMax = points.at(-1).x || 1;
    for (const panel of panels) panel.draw(points, xMax, width);
    mark();
  }

  function mark() {
    for (const panel of panels) panel.mark(cursor, chosen);
    where.textContent = cursor === null ? "" : `epoch ${cursor.toFixed(2)}`;
  }

  for (const { drawing, epochAt } of panels) {
    const move = (event) => {
      cursor = epochAt(event.clientX);
      mark();
    };
    drawing.addEventListener("pointermove", move);
    drawing.addEventListener("pointerdown", move);
    drawing.addEventListener("pointerleave", () => {
      cursor = null;
      mark();
    });
  }
  const watcher = new ResizeObserver(() => redraw());
  watcher.observe(element);
  signal.addEventListener("abort", () => {
    watcher.disconnect();
    clearTimeout(timer);
  });

  return {
    element,
    /** Draws soon; many calls in a burst draw once. @param {import("./metrics.js").Metrics} given */
    update(given) {
      metrics = given;
      if (timer || paused) return;
      timer = setTimeout(() => {
        timer = 0;
        if (!paused) redraw();
      }, DRAW_MS);
    },
    /** Marks the epoch whose samples are shown. @param {number | null} epoch */
    choose(epoch) {
      chosen = epoch;
      mark();
    },
  };
}

function asTable(rows) {
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...COLUMNS.map(([, name]) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      {},
      ...rows.map((row) =>
        h(
          "tr",
          {},
          ...COLUMNS.map(([key], i) =>
            i ? h("td", {}, number(row[key])) : h("th", { scope: "row" }, String(row.epoch)),
          ),
        ),
      ),
    ),
  );
}
