// The studies, newest first: does it help to train with synthetic images?
import { ago, left } from "../format.js";
import { Banner, Progress } from "../parts.js";
import { usePolled } from "../polled.js";
import { html } from "../vendor/ui/ui.js";
import { studies } from "./service.js";
import { GOING, verdictOf } from "./words.js";

const POLL_MS = 4000;

export default function StudiesPage() {
  const { content, problem } = usePolled(
    (signal) => studies(signal),
    [],
    POLL_MS,
    ({ data }) => data.some((study) => GOING.includes(study.status)),
  );
  return html`<section class="results" aria-label="Studies">
    <div class="bar"><h1 tabindex="-1">Studies</h1>
      <div class="bar-end"><a class="button" href="/ui/studies/new">New study</a></div></div>
    ${problem && html`<${Banner} problem=${problem} />`}
    ${
      content?.data.length === 0 &&
      html`<div class="empty"><h2>No studies</h2>
      <p>A study answers whether a classifier gets better with synthetic images, and by how much: with
        many runs of one configuration, which is fixed before the first.</p>
      <a class="button" href="/ui/studies/new">Fix a configuration</a></div>`
    }
    <ul class="runs" aria-label="Studies" hidden=${!content?.data.length}>
      ${(content?.data ?? []).map((study) => html`<${Row} key=${study.id} study=${study} />`)}
    </ul>
  </section>`;
}

function Row({ study }) {
  const name = study.name || study.id;
  const going = GOING.includes(study.status);
  const told = [
    `${study.config.positive} in ${study.dataset.name}`,
    study.verdict && verdictOf(study).short,
    going && study.waiting,
    going && left(study.progress.eta_seconds),
    study.error?.detail,
  ];
  return html`<li class="run">
    <a class="run-name" href=${`/ui/studies/${encodeURIComponent(study.id)}`}>${name}</a>
    <span class=${`status ${study.status}`}>${study.status}</span>
    <span class="run-told">${told.filter(Boolean).join(" · ")}</span>
    <time class="run-when" datetime=${study.created_at}>${ago(study.created_at)}</time>
    ${going && html`<${Progress} fraction=${study.progress.fraction} label=${`Progress of ${name}`} />`}
  </li>`;
}
