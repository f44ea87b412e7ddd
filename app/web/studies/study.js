// One study: how far it is, and what came of it.
import { Confirm, useDeed } from "../deeds.js";
import { ago, duration, left } from "../format.js";
import { navigate } from "../navigate.js";
import { Banner, CopyButton, Progress, announce, coming, useAsked } from "../parts.js";
import { usePolled } from "../polled.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";
import { Results } from "./results.js";
import { changeStudy, deleteStudy, study as load, studyResults } from "./service.js";
import { GOING, kindWords, verdictOf } from "./words.js";

const POLL_MS = 2000;
const BACK = html`<a href="/ui/studies" class="back">Studies</a>`;

export default function StudyPage({ id }) {
  const {
    content: study,
    problem,
    again,
  } = usePolled(
    (signal) => load(id, signal),
    [id],
    POLL_MS,
    ({ status }) => GOING.includes(status),
  );
  const made = study?.links["results.json"] !== undefined;
  const scored = study?.scores.map(({ name, error }) => `${name}${error !== null}`).join();
  const results = useAsked(
    (signal) => (made ? studyResults(id, signal) : Promise.resolve(null)),
    [id, made, scored, study?.finished_at],
  );
  const before = useRef(null);
  useEffect(() => {
    if (!study) return;
    if (before.current && before.current !== study.status) announce(`The study is ${study.status}`);
    before.current = study.status;
    document.title = `${study.name || study.id} · Synthorax`;
  }, [study?.status]);
  if (!study) return coming(id, BACK, problem);
  return html`<div class="run-page">
    <p>${BACK}</p>
    <header class="run-head">
      <div class="run-title"><h1 tabindex="-1">${study.name || study.id}</h1>
        <span class=${`status ${study.status}`}>${study.status}</span></div>
      <${Head} study=${study} changed=${again} />
    </header>
    ${problem && html`<${Banner} problem=${problem} />`}
    ${study.waiting && html`<p class="notice" role="status">${sentence(study.waiting)}</p>`}
    ${
      study.error &&
      html`<${Banner} problem=${{ message: study.error.detail, details: () => JSON.stringify(study.error, null, 2) }} />`
    }
    ${study.verdict && html`<${Verdict} study=${study} />`}
    ${!(made && study.status === "succeeded") && html`<${Units} study=${study} />`}
    ${results.problem && html`<${Banner} problem=${results.problem} again=${results.again} />`}
    ${made && results.content && html`<${Results} study=${study} results=${results.content} changed=${again} />`}
    ${made && study.status === "succeeded" && html`<${Units} study=${study} />`}
  </div>`;
}

function Head({ study, changed }) {
  const { act, busy, problem } = useDeed();
  const [sure, setSure] = useState(false);
  const going = GOING.includes(study.status);
  const change = (words, what) =>
    html`<button type="button" class="small" aria-disabled=${busy ? "true" : undefined}
      onClick=${() =>
        act(async () => {
          await changeStudy(study.id, what);
          changed();
        })}>${words}</button>`;
  const told = [
    `${study.config.positive} from the rest`,
    study.config.kind === "small_class"
      ? "all patients, folded"
      : `on ${study.config.test === "validation" ? "validation" : "held-out"} images`,
    `smallest useful effect ${study.config.smallest_useful_effect}`,
    `begun ${ago(study.created_at)}`,
  ];
  return html`<div class="bar">
      ${going && change("Cancel", "cancel")}
      ${["failed", "cancelled"].includes(study.status) && change("Go on", "resume")}
      ${!going && html`<button type="button" class="small" onClick=${() => setSure(true)}>Delete</button>`}
    </div>
    <p class="hint"><a href=${`/ui/datasets/${study.dataset.id}`}>${study.dataset.name}</a> · ${told.join(" · ")}</p>
    ${!study.patients_known && html`<p class="notice run-wide">The dataset does not tell patients: each image counted as a patient of its own, and images of one patient may be on both sides. What this study finds may be too good.</p>`}
    ${problem && html`<${Banner} problem=${problem} />`}
    ${
      sure &&
      html`<${Confirm} title="Delete this study?" words="Delete" close=${() => setSure(false)} deed=${async () => {
        await deleteStudy(study.id);
        navigate("/ui/studies");
      }}><p>Its generators, its predictions and its results go.</p><//>`
    }`;
}

function Verdict({ study }) {
  const { title, mark } = verdictOf(study);
  return html`<section class=${`panel verdict ${mark}`} aria-label="Verdict">
    <p class="verdict-word">${title}</p>
    <p>${study.verdict.text}</p>
    <ul class="lights">${Object.entries(study.lights).map(
      ([name, light]) => html`<li key=${name} class=${`light ${light === "grey" ? "none" : light}`}>
      <span class="light-name">${sentence(name.replaceAll("_", " "))}</span> ${light === "grey" ? "not estimable" : light}</li>`,
    )}</ul>
  </section>`;
}

function Units({ study }) {
  const { progress } = study;
  const kinds = Object.entries(progress.kinds);
  return html`<section class="panel stack" aria-labelledby="units">
    <div class="bar"><h2 id="units">Work</h2>
      <span class="bar-end hint">${Math.floor(100 * progress.fraction)} %${progress.eta_seconds === null ? "" : `, ${left(progress.eta_seconds)}`}</span></div>
    <ul class="study-kinds">${kinds.map(
      ([kind, of]) => html`<li key=${kind}>
      <span>${kindWords(kind, of)}</span>
      <${Progress} fraction=${of.fraction} label=${kindWords(kind, of)} /></li>`,
    )}</ul>
    <details><summary>Each unit</summary>
      <div class="table-box" role="region" aria-label="Units" tabindex="0"><table>
        <thead><tr><th scope="col">Unit</th><th scope="col">State</th><th scope="col">Time</th></tr></thead>
        <tbody>${study.units.map(
          (unit) => html`<tr key=${unit.name}><th scope="row" class="mono">${unit.name}</th>
          <td>${unit.status === "running" && unit.phase ? `${unit.phase}, ${Math.floor(100 * unit.fraction)} %` : unit.status}</td>
          <td>${unit.seconds === null ? "–" : duration(unit.seconds)}</td></tr>`,
        )}</tbody></table></div>
    </details>
    ${GOING.includes(study.status) && html`<div class="bar"><${CopyButton} text=${() => `synthorax study watch ${study.id}`} label="Copy the command that follows it" /></div>`}
  </section>`;
}

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);
