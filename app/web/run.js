// One run's page: what it does now, its curves, its samples, and how it was started.
import { Problem, cancelRun, dataset, readiness } from "./api.js";
import { createChart } from "./chart.js";
import { announce, h } from "./dom.js";
import { banner } from "./forms.js";
import { ago, duration, left } from "./format.js";
import { follow } from "./live.js";
import { createCancelDialog, createLog, createNumbers, createSettings } from "./run-parts.js";
import { bar } from "./runs.js";
import { isLive, serviceNotice, statusWord } from "./service.js";
import { createTimeline } from "./timeline.js";

const INTERRUPTED = "Live updates interrupted, reconnecting. Training continues.";

/** @param {AbortSignal} signal aborts when the view is left @param {string} id */
export function runView(signal, id) {
  const title = h("h1", { tabindex: -1 }, id);
  const status = h("span", { class: "status" });
  const told = h("span", { class: "run-told" });
  const about = h("p", { class: "hint" });
  const progress = h("div");
  const notice = h("p", { class: "notice", role: "status", hidden: true });
  const outcome = h("div", { class: "outcome" });
  const failure = h("div");
  const dialog = createCancelDialog(cancel);
  const cancelButton = h(
    "button",
    { type: "button", class: "danger", hidden: true, onclick: () => dialog.showModal() },
    "Cancel",
  );
  const chart = createChart(signal);
  const timeline = createTimeline(id, chart.choose);
  const numbers = createNumbers();
  const log = createLog();
  const settings = createSettings();
  const say = createAnnouncer();
  const body = h(
    "div",
    { class: "run-body" },
    h("div", { class: "stack" }, numbers.element, chart.element, timeline.element),
    h("div", { class: "stack" }, log.element, settings.element),
  );
  const element = h(
    "div",
    { class: "run-page" },
    h("p", {}, h("a", { href: "/ui/runs", class: "back" }, "Runs")),
    h(
      "header",
      { class: "run-head" },
      h("div", { class: "run-title" }, title, status, told),
      h("div", { class: "bar-end" }, outcome, cancelButton),
      about,
    ),
    progress,
    notice,
    failure,
    body,
    dialog,
  );

  let data = null;
  let asked = false;
  let interrupted = false;
  let current = null;
  let ready = null;

  function showJob(job) {
    current = job;
    const name = job.publish_as ?? job.id;
    const { epoch, epochs, fraction = 0, eta_seconds } = job.progress ?? {};
    title.textContent = name;
    status.className = `status ${job.status}`;
    status.textContent = statusWord(job);
    const counted = job.progress && `epoch ${epoch}/${epochs}`;
    const took =
      job.finished_at && job.started_at
        ? `took ${duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)}`
        : null;
    const running = job.status === "running";
    const phase = running && job.phase && job.phase !== "training" ? `${job.phase} …` : null;
    told.textContent = [counted, phase, running && !phase && left(eta_seconds), took]
      .filter(Boolean)
      .join(" · ");
    about.replaceChildren(
      h("span", { class: "mono" }, job.id),
      ` · ${job.preset} · ${job.config?.resolution ?? "?"} px · ${job.started_at ? "started" : "made"} ${ago(job.started_at ?? job.created_at)}`,
    );
    progress.replaceChildren(...(isLive(job.status) ? [bar(fraction, "Progress of the run")] : []));
    cancelButton.hidden = !["queued", "running"].includes(job.status);
    outcome.replaceChildren(
      ...(job.status === "succeeded" && job.model
        ? [
            h(
              "a",
              { class: "button", href: `/?model=${job.model}&count=16&seed=42&truncation=1` },
              `Generate with ${job.model}`,
            ),
          ]
        : []),
    );
    if (job.status === "failed" && !failure.hasChildNodes()) {
      failure.replaceChildren(
        banner(new Problem({ detail: "The run failed; its log may say more.", ...job.error })),
      );
    }
    numbers.update(job.metrics);
    settings.update(job, data);
    document.title = `${mark(job.status, fraction)} ${name} · Synthorax`;
    say(job, fraction);
    showNotice();
    if (!asked && job.dataset?.id) {
      asked = true;
      dataset(job.dataset.id, signal)
        .then((answer) => settings.update(current, (data = answer)))
        .catch(() => {}); // The settings then go without the images' counts.
    }
  }

  async function cancel() {
    cancelButton.disabled = true;
    try {
      showJob({ ...current, ...(await cancelRun(id)) });
    } catch (error) {
      if (error instanceof Problem) failure.replaceChildren(banner(error));
    }
    cancelButton.disabled = false;
  }

  function showNotice() {
    const live = current === null || isLive(current.status);
    const away = live && serviceNotice(ready, current?.status === "queued");
    const text = interrupted ? INTERRUPTED : away || "";
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = text === "";
  }

  async function watchService() {
    while (!signal.aborted && (current === null || isLive(current.status))) {
      ready = await readiness(signal);
      if (signal.aborted) return;
      showNotice();
      await new Promise((done) => setTimeout(done, 5000));
    }
  }

  follow(
    id,
    {
      job: showJob,
      metrics: (metrics) => chart.update(metrics),
      sample: (epoch) => timeline.add(epoch),
      log: (line) => log.add(line),
      replay: () => log.clear(),
      interrupted(yes) {
        interrupted = yes;
        showNotice();
      },
      lost(problem) {
        failure.replaceChildren(banner(problem));
        body.hidden = true;
      },
    },
    signal,
  );
  watchService();
  return element;
}

function mark(status, fraction) {
  if (status === "succeeded") return "✓";
  if (status === "failed") return "✕";
  return isLive(status) ? `${Math.floor(100 * fraction)} %` : "–";
}

/** Says the start, each quarter and the end, once, and nothing that was so when the page opened. */
function createAnnouncer() {
  let before = null;
  return (job, fraction) => {
    const quarter = Math.floor(4 * fraction);
    if (before && before.status !== job.status) {
      if (job.status === "running") announce("The run has started");
      if (job.status === "succeeded") announce(`The run is done. ${job.model ?? ""}`);
      if (job.status === "failed") announce("The run failed");
      if (job.status === "cancelled") announce("The run is cancelled");
    } else if (before && quarter > before.quarter && quarter < 4) {
      announce(`${25 * quarter} % done`);
    }
    before = { status: job.status, quarter: Math.max(quarter, before?.quarter ?? 0) };
  };
}
