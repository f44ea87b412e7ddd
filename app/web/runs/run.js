// One run's page: what it does now, its curves, its samples, and how it was started.
import {
  Problem,
  cancelRun,
  cloneRun,
  dataset,
  deleteRun,
  finishRun,
  readiness,
  resumeRun,
} from "../api.js";
import { Confirm, useDeed } from "../deeds.js";
import { ago, clock, duration, left, number, whole } from "../format.js";
import { useShortcuts } from "../keys.js";
import { navigate } from "../navigate.js";
import { Banner, CopyButton, Progress, announce, coming } from "../parts.js";
import { flat } from "../settings.js";
import { html, useEffect, useLayoutEffect, useReducer, useRef, useState } from "../vendor/ui/ui.js";
import { Chart } from "./chart.js";
import { SaveNumbers } from "./save.js";
import { hints } from "./health.js";
import { follow } from "./live.js";
import { Metrics } from "./metrics.js";
import { isLive, serviceNotice, statusWord } from "./service.js";
import { Timeline } from "./timeline.js";

const INTERRUPTED = "Live updates interrupted, reconnecting. Training continues.";
const SERVICE_MS = 5000;
const LOG_LINES = 200;
const BACK = html`<a href="/ui/runs" class="back">Runs</a>`;

export default function RunPage({ id }) {
  const [job, setJob] = useState(null);
  const [turn, tick] = useReducer((n) => n + 1, 0);
  const [last, setLast] = useState(0);
  const [chosen, setChosen] = useState(null); // an epoch; null: the newest, whichever that is
  const [log, setLog] = useState([]);
  const [interrupted, setInterrupted] = useState(false);
  const [lost, setLost] = useState(null);
  const [ready, setReady] = useState(null);
  const [data, setData] = useState(null);
  const [asking, setAsking] = useState(null);
  const { act, busy, problem } = useDeed();
  const metrics = useRef(new Metrics());
  const say = useRef(announcer());

  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    follow(
      id,
      {
        job: setJob,
        metrics(given) {
          metrics.current = given;
          tick();
        },
        sample: (epoch) => setLast((before) => Math.max(before, epoch)),
        log: (line) => setLog((before) => [...before.slice(1 - LOG_LINES), line]),
        replay: () => setLog([]),
        interrupted: setInterrupted,
        lost: setLost,
      },
      signal,
    );
    (async () => {
      while (!signal.aborted) {
        if (!document.hidden) setReady(await readiness(signal));
        await new Promise((done) => setTimeout(done, SERVICE_MS));
      }
    })();
    return () => leaving.abort();
  }, [id]);

  const fraction = job?.progress?.fraction ?? 0;
  const name = job?.publish_as ?? id;
  useEffect(() => {
    if (!job) return;
    document.title = `${mark(job.status, fraction)} ${name} · Synthorax`;
    say.current(job, fraction);
  }, [job]);
  useEffect(() => {
    if (!job?.dataset?.id) return;
    dataset(job.dataset.id).then(setData, () => {}); // The settings then go without the images' counts.
  }, [job?.dataset?.id]);

  const merged = (answer) => setJob((before) => ({ ...before, ...answer }));
  const close = () => setAsking(null);
  const shown = chosen ?? last;
  function go(epoch) {
    if (!last || !Number.isFinite(epoch)) return;
    const to = Math.min(Math.max(Math.round(epoch), 1), last);
    setChosen(to === last ? null : to);
  }
  useShortcuts([
    ["ArrowLeft", "Samples of the epoch before", () => go(shown - 1)],
    ["ArrowRight", "Samples of the next epoch", () => go(shown + 1)],
    ["End", "Samples of the newest epoch", () => go(last)],
  ]);

  if (lost || !job) return coming(id, BACK, lost);
  const live = isLive(job.status);
  const notice = interrupted
    ? INTERRUPTED
    : live
      ? serviceNotice(ready, job.status === "queued")
      : null;
  return html`<div class="run-page">
    <p>${BACK}</p>
    <header class="run-head">
      <div class="run-title"><h1 tabindex="-1">${name}</h1><span class=${`status ${job.status}`}>${statusWord(job)}</span>
        <span class="run-told">${told(job)}</span></div>
      <div class="bar-end">${actions({ job, act, busy, merged, setAsking })}</div>
      <p class="hint"><span class="mono">${job.id}</span> · ${job.preset} · ${job.config?.resolution ?? "?"} px
        ${" · "}${job.started_at ? "started" : "made"} ${ago(job.started_at ?? job.created_at)}
        ${job.cloned_from && html` · like <a href=${`/ui/runs/${job.cloned_from}`}>${job.cloned_from}</a>`}</p>
    </header>
    ${live && html`<${Progress} fraction=${fraction} label="Progress of the run" />`}
    ${notice && html`<p class="notice" role="status">${notice}</p>`}
    ${job.waiting && html`<p class="hint">${job.waiting.reason}</p>`}
    ${job.status === "failed" && html`<${Banner} problem=${new Problem({ detail: "The run failed; its log may say more.", ...job.error })} />`}
    ${problem && html`<${Banner} problem=${problem} />`}
    ${hints(metrics.current).map((hint) => html`<p class="notice" key=${hint}>${hint}</p>`)}
    <div class="run-body">
      <div class="stack">
        <${Numbers} metrics=${job.metrics} />
        <${Chart} metrics=${metrics} turn=${turn} chosen=${shown || null}><${SaveNumbers} id=${id} act=${act} /><//>
        <${Timeline} id=${id} last=${last} shown=${shown} go=${go} />
      </div>
      <div class="stack"><${Log} lines=${log} /><${Settings} job=${job} data=${data} /></div>
    </div>
    ${
      asking === "cancel" &&
      html`<${Confirm} title="Cancel this run?" keep="Keep training" words="Cancel run" close=${close}
        deed=${async () => merged(await cancelRun(id))}><p>Training stops and no model is published. The newest checkpoint stays on disk, with the curves and samples so far:
        the run can be resumed.</p><//>`
    }
    ${
      asking === "delete" &&
      html`<${Confirm} title="Delete this run?" words="Delete run" close=${close} deed=${async () => {
        await deleteRun(id);
        navigate("/ui/runs");
      }}><p>Its curves, samples and checkpoints go. A model that it published stays.</p><//>`
    }
  </div>`;
}

function actions({ job, act, busy, merged, setAsking }) {
  const opened = (made) => navigate(`/ui/runs/${encodeURIComponent(made.id)}`);
  const button = (words, deed, kind = "") =>
    html`<button type="button" class=${kind} aria-disabled=${busy ? "true" : undefined} onClick=${deed}>${words}</button>`;
  const doing = (words, deed, then) =>
    button(words, () => act(async () => then(await deed(job.id))));
  const { status } = job;
  return [
    status === "succeeded" &&
      job.model &&
      html`<a class="button" href=${`/?model=${job.model}&count=16&seed=42&truncation=1`}>Generate with ${job.model}</a>
      <a class="button" href=${`/ui/models/${job.model}`}>Its page</a>`,
    status === "running" &&
      (job.finishing
        ? html`<span class="hint">It ends after this epoch.</span>`
        : doing("Finish epoch and save", finishRun, merged)),
    ["failed", "cancelled"].includes(status) && doing("Resume", resumeRun, () => location.reload()),
    !isLive(status) && doing("Run again", cloneRun, opened),
    ["queued", "running"].includes(status) && button("Cancel", () => setAsking("cancel"), "danger"),
    !isLive(status) && button("Delete", () => setAsking("delete"), "danger"),
  ];
}

function told(job) {
  const { epoch, epochs, eta_seconds } = job.progress ?? {};
  const running = job.status === "running";
  const phase = running && job.phase && job.phase !== "training" ? `${job.phase} …` : null;
  const took =
    job.finished_at &&
    job.started_at &&
    `took ${duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)}`;
  return [
    job.progress && `epoch ${epoch}/${epochs}`,
    phase,
    running && !phase && left(eta_seconds),
    took,
  ]
    .filter(Boolean)
    .join(" · ");
}

function mark(status, fraction) {
  if (status === "succeeded") return "✓";
  if (status === "failed") return "✕";
  return isLive(status) ? `${Math.floor(100 * fraction)} %` : "–";
}

/** Says the start, each quarter and the end, once, and nothing that was so when the page opened. */
function announcer() {
  const ends = {
    running: "The run has started",
    failed: "The run failed",
    cancelled: "The run is cancelled",
  };
  let before = null;
  return (job, fraction) => {
    const quarter = Math.floor(4 * fraction);
    if (before && before.status !== job.status) {
      const words =
        job.status === "succeeded" ? `The run is done. ${job.model ?? ""}` : ends[job.status];
      if (words) announce(words);
    } else if (before && quarter > before.quarter && quarter < 4)
      announce(`${25 * quarter} % done`);
    before = { status: job.status, quarter: Math.max(quarter, before?.quarter ?? 0) };
  };
}

const NUMBERS = [
  ["loss_d", "Loss D"],
  ["loss_g", "Loss G"],
  ["d_x", "D(x)"],
  ["d_g_z1", "D(G(z)) before"],
  ["d_g_z2", "D(G(z)) after"],
  ["images_per_second", "Images / s"],
];

function Numbers({ metrics }) {
  const shown = (key, value) =>
    key === "images_per_second" && value >= 100 ? whole(Math.round(value)) : number(value);
  return html`<dl class="numbers" aria-label="Newest values">
    ${NUMBERS.map(([key, name]) => html`<div key=${key}><dt>${name}</dt><dd>${shown(key, metrics?.[key])}</dd></div>`)}</dl>`;
}

function Log({ lines }) {
  const box = useRef(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    // Someone who scrolled up to read keeps the place.
    if (box.current && atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  return html`<section class="panel" aria-labelledby="log"><h2 id="log">Log</h2>
    ${
      lines.length === 0
        ? html`<p class="hint">Nothing yet.</p>`
        : html`<div class="log" ref=${box} tabindex="0" role="region" aria-label="Log lines"
          onScroll=${({ currentTarget: b }) => (atEnd.current = b.scrollHeight - b.scrollTop - b.clientHeight < 64)}><ol>
          ${lines.map(
            (
              { level = "info", message, time },
              i,
            ) => html`<li key=${i}><time>${time ? clock(time) : ""}</time>
            <span>${level !== "info" && html`<strong class=${level}>${level}: </strong>`}${message}</span></li>`,
          )}</ol></div>`
    }
  </section>`;
}

/** What decides the bits of a run beside its settings and data. */
const madeOn = (found) =>
  found
    ? [
        ["device", `${found.device}, ${found.device_name}`],
        ["threads", String(found.threads)],
        ["arithmetic", `${found.precision}${found.channels_last ? ", channels last" : ""}`],
        ["torch", found.torch],
        ["Python", found.python],
      ]
    : [];

function Settings({ job, data }) {
  const labels = Object.entries(data?.labels ?? {});
  const rows = [
    ["attempt", String(job.attempt)],
    job.worker && ["worker", job.worker],
    [
      "data",
      data
        ? html`<a href=${`/ui/datasets/${data.id}`}>${data.name}</a>`
        : (job.dataset?.path ?? job.dataset?.id ?? "–"),
    ],
    data && ["images", whole(data.images ?? 0)],
    ...labels.map(([label, { images }]) => [`· ${label}`, whole(images)]),
    data?.refused_count > 0 && ["refused files", whole(data.refused_count)],
    data?.fingerprint && ["fingerprint", data.fingerprint.slice(0, 16)],
    ["priority", job.priority],
    ...madeOn(job.environment),
    ...flat(job.config),
  ].filter(Boolean);
  return html`<section class="panel" aria-labelledby="settings">
    <div class="bar"><h2 id="settings">Settings</h2><div class="bar-end">
      <${CopyButton} label="Copy" name="Copy the settings as JSON" text=${() => JSON.stringify({ preset: job.preset, config: job.config, environment: job.environment }, null, 2)} /></div></div>
    ${job.ends.length > 0 && html`<ul class="limits">${job.ends.map((end) => html`<li>Attempt ${end.attempt}, ${ago(end.time)}: ${end.reason}</li>`)}</ul>`}
    <table class="settings"><caption class="unseen">Settings</caption><tbody>
      ${rows.map(([name, value]) => html`<tr key=${name}><th scope="row">${name}</th><td>${value}</td></tr>`)}</tbody></table>
  </section>`;
}
