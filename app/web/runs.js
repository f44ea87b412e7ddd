// The Train view: the runs, newest first, and the form that starts one.
import { Problem, readiness, runs } from "./api.js";
import { h } from "./dom.js";
import { banner } from "./forms.js";
import { ago, left } from "./format.js";
import { newRunForm } from "./new-run.js";
import { serviceNotice, statusWord } from "./service.js";

const POLL_MS = 4000;

/** @param {AbortSignal} signal aborts when the view is left */
export function runsView(signal) {
  const notice = h("p", { class: "notice", role: "status", hidden: true });
  const list = h("ul", { class: "runs", "aria-label": "Runs" });
  const place = h("div");
  const more = h("button", { type: "button", hidden: true }, "Show more");
  const element = h(
    "div",
    { class: "split" },
    newRunForm(signal),
    h(
      "section",
      { class: "results", "aria-label": "Runs" },
      h("h1", { tabindex: -1 }, "Runs"),
      notice,
      place,
      list,
      more,
    ),
  );

  /** Runs by id in the server's order; later pages stay when the first is asked for again. */
  const known = new Map();
  let next = null;

  function draw(problem) {
    list.replaceChildren(...[...known.values()].map(row));
    list.hidden = known.size === 0;
    more.hidden = next === null;
    if (problem) place.replaceChildren(banner(problem));
    else place.replaceChildren(...(known.size ? [] : [empty()]));
  }

  async function refresh() {
    const [page, ready] = await Promise.all([
      runs(null, signal).catch((error) => error),
      readiness(signal),
    ]);
    if (signal.aborted) return;
    const away = serviceNotice(
      ready,
      [...known.values()].some((j) => j.status === "queued"),
    );
    if (page instanceof Problem) {
      say(away);
      // One message is enough where the notice has said why.
      if (away) place.replaceChildren();
      else draw(page);
      return;
    }
    if (page instanceof Error) return;
    const old = [...known.entries()];
    known.clear();
    for (const job of page.data) known.set(job.id, job);
    const fresh = known.size;
    for (const [id, job] of old) if (!known.has(id)) known.set(id, job);
    if (known.size === fresh) next = page.has_more ? page.next : null;
    say(
      serviceNotice(
        ready,
        page.data.some((job) => job.status === "queued"),
      ),
    );
    draw();
  }

  function say(sentence) {
    if (notice.textContent !== (sentence ?? "")) notice.textContent = sentence ?? "";
    notice.hidden = sentence === null;
  }

  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const page = await runs(next, signal);
      for (const job of page.data) known.set(job.id, job);
      next = page.has_more ? page.next : null;
      draw();
    } catch (error) {
      if (error instanceof Problem) draw(error);
    }
    more.disabled = false;
  });

  (async () => {
    while (!signal.aborted) {
      if (!document.hidden) await refresh();
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  })();
  return element;
}

function empty() {
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "No runs"),
    h("p", {}, "Name a folder of images and press Start. The quick preset gives a first look."),
  );
}

function row(job) {
  const fraction = job.status === "succeeded" ? 1 : (job.progress?.fraction ?? 0);
  const epochs = job.progress && `epoch ${job.progress.epoch}/${job.progress.epochs}`;
  const status = statusWord(job);
  const told = [
    job.preset,
    job.status === "running" ? epochs : null,
    job.status === "running" ? left(job.progress?.eta_seconds) : null,
    job.status === "failed" ? job.error?.detail : null,
    job.status === "cancelled" && epochs ? `stopped at ${epochs}` : null,
    job.status === "succeeded" ? job.model : null,
  ];
  return h(
    "li",
    { class: "run" },
    h(
      "a",
      { class: "run-name", href: `/ui/runs/${encodeURIComponent(job.id)}` },
      job.publish_as ?? job.id,
    ),
    h("span", { class: `status ${job.status}` }, status),
    h("span", { class: "run-told" }, told.filter(Boolean).join(" · ")),
    h("time", { class: "run-when", datetime: job.created_at }, ago(job.created_at)),
    ["running", "cancelling"].includes(job.status) &&
      bar(fraction, `Progress of ${job.publish_as ?? job.id}`),
  );
}

/** A progress bar. @param {number} fraction 0 to 1 */
export function bar(fraction, label) {
  const fill = h("span");
  fill.style.width = `${(100 * fraction).toFixed(2)}%`;
  return h(
    "div",
    {
      class: "progress",
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": Math.floor(100 * fraction),
    },
    fill,
  );
}
