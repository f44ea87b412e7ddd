// The quiet parts of a run's page: numbers, log, settings and the question before a cancel.
import { copyButton, h } from "./dom.js";
import { clock, number, whole } from "./format.js";

const LOG_LINES = 50;
const NUMBERS = [
  ["loss_d", "Loss D"],
  ["loss_g", "Loss G"],
  ["d_x", "D(x)"],
  ["d_g_z1", "D(G(z)) before"],
  ["d_g_z2", "D(G(z)) after"],
  ["images_per_second", "Images / s"],
];

/** The newest values, large. */
export function createNumbers() {
  const cells = NUMBERS.map(() => h("dd", {}, "–"));
  const element = h(
    "dl",
    { class: "numbers", "aria-label": "Newest values" },
    ...NUMBERS.map(([, name], i) => h("div", {}, h("dt", {}, name), cells[i])),
  );
  return {
    element,
    update(metrics) {
      NUMBERS.forEach(([key], i) => {
        const value = metrics?.[key];
        cells[i].textContent =
          key === "images_per_second" && Number.isFinite(value) && value >= 100
            ? whole(Math.round(value))
            : number(value);
      });
    },
  };
}

/** The last lines that the run wrote, newest at the end. */
export function createLog() {
  const list = h("ol");
  const box = h(
    "div",
    { class: "log", tabindex: 0, role: "region", "aria-label": "Log lines" },
    list,
  );
  const nothing = h("p", { class: "hint" }, "Nothing yet.");
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": "log" },
    h("h2", { id: "log" }, "Log"),
    nothing,
    box,
  );
  box.hidden = true;
  return {
    element,
    /** @param {{level?: string, message: string, time?: string}} line */
    add({ level = "info", message, time }) {
      // Someone who scrolled up to read keeps the place.
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 64;
      const word = level === "info" ? null : h("strong", { class: level }, `${level}: `);
      list.append(
        h("li", {}, h("time", {}, time ? clock(time) : ""), h("span", {}, word, message)),
      );
      while (list.childElementCount > LOG_LINES) list.firstElementChild.remove();
      nothing.hidden = true;
      box.hidden = false;
      if (atEnd) box.scrollTop = box.scrollHeight;
    },
    clear() {
      list.replaceChildren();
    },
  };
}

const shownAs = (value) =>
  value === null || value === undefined
    ? "–"
    : typeof value === "boolean"
      ? value
        ? "yes"
        : "no"
      : String(value);

function flat(config, prefix = "") {
  return Object.entries(config ?? {}).flatMap(([key, value]) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? flat(value, `${prefix}${key} `)
      : [[`${prefix}${key}`.replaceAll("_", " "), shownAs(value)]],
  );
}

/** What the run was started with, and on what data. */
export function createSettings() {
  let job = null;
  const body = h("tbody");
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": "settings" },
    h(
      "div",
      { class: "bar" },
      h("h2", { id: "settings" }, "Settings"),
      h(
        "div",
        { class: "bar-end" },
        copyButton({
          text: () => JSON.stringify({ preset: job.preset, config: job.config }, null, 2),
          label: "Copy",
          name: "Copy the settings as JSON",
        }),
      ),
    ),
    h("table", { class: "settings" }, h("caption", { class: "unseen" }, "Settings"), body),
  );
  return {
    element,
    /** @param {any} given the job @param {any} [data] what GET /datasets/{id} answers, once known */
    update(given, data) {
      job = given;
      const labels = Object.entries(data?.labels ?? {});
      const rows = [
        ["attempt", shownAs(job.attempt)],
        ["folder", job.dataset?.path ?? "–"],
        data && ["images", whole(data.images ?? 0)],
        ...labels.map(([label, { images }]) => [`· ${label}`, whole(images)]),
        data?.refused?.length && ["refused files", whole(data.refused.length)],
        data?.fingerprint && ["fingerprint", data.fingerprint.slice(0, 16)],
        ...flat(job.config),
      ].filter(Boolean);
      body.replaceChildren(
        ...rows.map(([name, value]) =>
          h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)),
        ),
      );
    },
  };
}

/** Asks before a run is cancelled. @param {() => void} confirmed */
export function createCancelDialog(confirmed) {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "cancel-title" },
    h("h2", { id: "cancel-title" }, "Cancel this run?"),
    h(
      "p",
      {},
      "Training stops and no model is published. The newest checkpoint stays on disk, with the curves and samples so far.",
    ),
    h(
      "div",
      { class: "dialog-end" },
      h(
        "button",
        { type: "button", autofocus: true, onclick: () => dialog.close() },
        "Keep training",
      ),
      h(
        "button",
        {
          type: "button",
          class: "danger",
          onclick: () => {
            dialog.close();
            confirmed();
          },
        },
        "Cancel run",
      ),
    ),
  );
  return dialog;
}
