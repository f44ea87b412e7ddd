// One version: what it is, what its report says, and how it was made.
import { models } from "../api.js";
import { useDeed } from "../deeds.js";
import { ago, duration, guarantee, whole } from "../format.js";
import { Banner, CopyButton, Progress, announce, coming } from "../parts.js";
import { usePolled } from "../polled.js";
import { flat } from "../settings.js";
import { html } from "../vendor/ui/ui.js";
import { Checks, Fidelity, LIGHTS, Lights } from "./lights.js";
import {
  activate,
  cardUrl,
  gridUrl,
  makeReport,
  model,
  report,
  reportUrl,
  reports,
} from "./service.js";

const POLL_MS = 3000;
const BACK = html`<a href="/ui/models" class="back">Models</a>`;
const underWay = ({ made }) => made.find((each) => ["pending", "running"].includes(each.status));

async function everything(reference, signal) {
  const [card, listed, made] = await Promise.all([
    model(reference, signal),
    models(signal),
    reports(reference, signal),
  ]);
  const newest = made.data.find((each) => each.status === "complete");
  return {
    card,
    entry: listed.data.find((each) => each.reference === reference),
    others: listed.data.filter((each) => each.usable && each.reference !== reference),
    made: made.data,
    found: newest ? await report(reference, newest.id, signal) : null,
  };
}

export default function VersionPage({ id: reference }) {
  const { content, problem, again } = usePolled(
    (signal) => everything(reference, signal),
    [reference],
    POLL_MS,
    underWay,
  );
  const { act, busy: working, problem: failed } = useDeed();
  const change = (deed, said) =>
    act(async () => {
      await deed();
      announce(said);
      again();
    });
  if (!content) return coming(reference, BACK, problem);
  const waiting = underWay(content);
  const { card, entry, others, made, found } = content;
  const { training } = card;
  return html`<div class="run-page">
    <p>${BACK}</p>
    <header class="run-head">
      <div class="run-title"><h1 tabindex="-1">${reference}</h1>
        ${entry?.active && html`<span class="badge">served</span>`}${card.private && html`<span class="badge">private data</span>`}${
          entry?.differential_privacy &&
          html`<span class="badge">${guarantee(entry.differential_privacy)}</span>`
        }</div>
      <div class="bar-end">
        <a class="button" href=${`/?model=${reference}&count=16&seed=42&truncation=1`}>Generate</a>
        ${
          !entry?.active &&
          html`<button type="button" disabled=${working}
          onClick=${() => change(() => activate(reference), `${reference} is served now`)}>Serve by default</button>`
        }
        <a class="button" href=${cardUrl(reference)} download=${`${reference}.md`}>Card</a>
        ${others.length > 0 && html`<a class="button" href=${`/ui/models/compare?one=${reference}&other=${others[0].reference}`}>Compare</a>`}
      </div>
      <p class="hint">${card.resolution} × ${card.resolution} px · ${card.architecture.family}
        ${" · "}${card.labels.length ? `classes ${card.labels.join(", ")}` : "no classes"} · published ${ago(card.created)}
        ${card.attribution && html`<br />${card.attribution}`}</p>
    </header>
    ${(failed ?? problem) && html`<${Banner} problem=${failed ?? problem} />`}
    <div class="run-body">
      <div class="stack">
        <section class="panel" aria-labelledby="report">
          <div class="bar"><h2 id="report">Report</h2>
            <div class="bar-end">
              ${
                found &&
                html`<a class="button small" href=${reportUrl(reference, found.id, "report.html")} target="_blank">Full report</a>
                <a class="button small" href=${reportUrl(reference, found.id, "exports.zip")} download>Tables and figures</a>`
              }
              <button type="button" class="small" disabled=${working || waiting}
                onClick=${() => change(() => makeReport(reference, {}), "The report is being made")}>${found ? "Evaluate again" : "Evaluate"}</button>
            </div></div>
          ${
            waiting &&
            html`<p class="hint">${waiting.progress?.phase ?? "Waiting for a worker"} …</p>
            <${Progress} fraction=${waiting.progress?.fraction ?? 0} label="Progress of the report" />`
          }
          ${made[0]?.status === "failed" && html`<p class="error">The newest report failed: ${made[0].error?.detail}</p>`}
          ${!found && !waiting && html`<p class="empty">Not evaluated yet. A report needs held-out real images: a dataset with a split.</p>`}
          ${
            found &&
            html`<${Lights} lights=${found.lights} />
            <p class="hint">On ${whole(found.data.reference.images)} real images of ${found.data.reference.patients ?? "unknown"} patients,${" "}
              ${whole(found.data.generated)} samples, ${found.protocol.version}. There is no overall score.</p>
            ${LIGHTS.map(
              ([
                key,
                name,
              ]) => html`<h3>${name}</h3><${Checks} checks=${found.checks} light=${key} />
              ${key === "privacy" && html`<p class="hint">${found.privacy.sentence}</p>`}
              ${key === "fidelity" && html`<${Fidelity} fidelity=${found.fidelity} />`}`,
            )}
            <h3>Limits</h3><ul class="limits">${found.limits.map((text) => html`<li>${text}</li>`)}</ul>`
          }
        </section>
        <section class="panel" aria-labelledby="grid">
          <h2 id="grid">Seeds 0 to 63</h2>
          <div class="mosaic-box"><img class="mosaic" src=${gridUrl(reference)} loading="lazy"
            alt=${`Synthetic images of ${reference}, seeds 0 to 63, classes by row`} /></div>
        </section>
      </div>
      <section class="panel" aria-labelledby="made">
        <div class="bar"><h2 id="made">How it was made</h2>
          <div class="bar-end"><${CopyButton} label="Copy" name="Copy the configuration as JSON"
            text=${() => JSON.stringify({ preset: training.preset, config: training.config }, null, 2)} /></div></div>
        <table class="settings"><caption class="unseen">How it was made</caption><tbody>
          ${[
            ["digest", card.digest.slice(0, 16)],
            card.job && ["run", html`<a href=${`/ui/runs/${card.job}`}>${card.job}</a>`],
            ...card.ancestry.map((each) => ["began with", each.model]),
            ["images shown", whole(training.images)],
            ["took", duration(training.seconds)],
            ["device", training.environment.device],
            ["torch", training.environment.torch],
            ["dataset", (card.dataset.fingerprint ?? "").slice(0, 16)],
            ...Object.entries(card.dataset.labels ?? {}).map(([label, count]) => [
              `· ${label}`,
              whole(count.images ?? count),
            ]),
            ["preset", training.preset],
            ...flat(training.config),
          ]
            .filter(Boolean)
            .map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>`)}
        </tbody></table>
      </section>
    </div>
  </div>`;
}
