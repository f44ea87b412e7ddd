// Large sets: up to ten million samples as files, made in shards by all generation workers.
import { Problem, models } from "../api.js";
import { ago, left, size, whole } from "../format.js";
import { Confirm, useDeed } from "../deeds.js";
import { Banner, CopyButton, Dialog, Field, Progress, announce, useAsked } from "../parts.js";
import { usePolled } from "../polled.js";
import { html, useState } from "../vendor/ui/ui.js";
import { changeSet, deleteSet, makeSet, setUrl, sets, shards } from "./service.js";

const POLL_MS = 2000;
const COUNT_MAX = 10_000_000;
const GOING = ["queued", "running"];

export default function SetsPage() {
  const { content, problem, again } = usePolled(
    (signal) => sets(signal),
    [],
    POLL_MS,
    ({ data }) => data.some((job) => GOING.includes(job.status)),
  );
  return html`<div class="split">
    <${NewSet} made=${again} />
    <section class="results" aria-label="Large sets">
      <div class="bar"><h1 tabindex="-1">Large sets</h1></div>
      ${problem && html`<${Banner} problem=${problem} />`}
      ${
        content?.data.length === 0 &&
        html`<div class="empty"><h2>No sets</h2>
        <p>A set is made in shards: files of a few thousand images each, by every generation worker at
          once. Each image can be made again from its seed.</p></div>`
      }
      <ul class="runs" aria-label="Large sets" hidden=${!content?.data.length}>
        ${(content?.data ?? []).map((job) => html`<${Row} key=${job.id} job=${job} changed=${again} />`)}
      </ul>
    </section>
  </div>`;
}

function NewSet({ made }) {
  const { content, problem, again } = useAsked((signal) => models(signal), []);
  const usable = (content?.data ?? []).filter((each) => each.usable);
  const [form, setForm] = useState({
    model: new URLSearchParams(location.search).get("model") ?? "",
    labels: "turns",
    count: "100000",
    seed: "0",
    container: "webdataset",
  });
  const [errors, setErrors] = useState({});
  const [failed, setFailed] = useState(null);
  const [starting, setStarting] = useState(false);
  const on = (name) => (event) => {
    const { value } = event.currentTarget;
    setForm((before) => ({ ...before, [name]: value }));
  };
  const model =
    usable.find((each) => each.reference === form.model) ?? usable.find((each) => each.active);
  const classes = model?.labels ?? [];
  // A class of the model before may be none of this one.
  const labels = form.labels === "drawn" || classes.includes(form.labels) ? form.labels : "turns";

  async function start(event) {
    event.preventDefault();
    const [count, seed] = [Number(form.count), Number(form.seed)];
    const wrong = {};
    if (!Number.isSafeInteger(count) || count < 1 || count > COUNT_MAX)
      wrong.count = `Use a whole number from 1 to ${whole(COUNT_MAX)}.`;
    if (form.seed.trim() === "" || !Number.isSafeInteger(seed) || seed < 0)
      wrong.seed = "Use a whole number from 0 on.";
    setErrors(wrong);
    setFailed(null);
    if (Object.keys(wrong).length || !model) return;
    const named = labels === "turns" && classes.length ? classes : null;
    const one = classes.includes(labels) ? labels : null;
    setStarting(true);
    try {
      const body = { model: model.reference, count, seed, container: form.container };
      await makeSet({ ...body, labels: named, label: one });
      announce(`A set of ${whole(count)} images is queued`);
      made();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const fields = Object.fromEntries(error.errors.map((each) => [each.field, each.allowed]));
      const known = Object.keys(fields).some((name) => name in form);
      setErrors(known ? fields : {});
      setFailed(known ? null : error);
    }
    setStarting(false);
  }

  return html`<form class="panel stack" aria-label="New set" onSubmit=${start} noValidate>
    <h2>New set</h2>
    ${(problem ?? failed) && html`<${Banner} problem=${problem ?? failed} again=${problem && again} />`}
    <${Field} label="Model" error=${errors.model}>${(ties) => html`<select ...${ties}
      value=${model?.reference ?? ""} onChange=${on("model")}>
      ${usable.map((each) => html`<option key=${each.reference} value=${each.reference}>${each.reference}</option>`)}
    </select>`}<//>
    ${
      classes.length > 0 &&
      html`<${Field} label="Classes" error=${errors.label ?? errors.labels}>${(
        ties,
      ) => html`<select ...${ties}
      value=${labels} onChange=${on("labels")}>
      <option value="turns">Take turns, so as many of each</option>
      <option value="drawn">As often as in training</option>
      ${classes.map((label) => html`<option key=${label} value=${label}>${label} alone</option>`)}
    </select>`}<//>`
    }
    <${Field} label="Images" error=${errors.count} hint="1 to 10,000,000">${(
      ties,
    ) => html`<input ...${ties}
      type="text" inputmode="numeric" value=${form.count} onInput=${on("count")} />`}<//>
    <${Field} label="First seed" error=${errors.seed}>${(ties) => html`<input ...${ties}
      type="text" inputmode="numeric" value=${form.seed} onInput=${on("seed")} />`}<//>
    <${Field} label="Shards" error=${errors.container}>${(ties) => html`<select ...${ties}
      value=${form.container} onChange=${on("container")}>
      <option value="webdataset">WebDataset (tar)</option>
      <option value="zip">ZIP, in class folders</option>
    </select>`}<//>
    <button class="primary" disabled=${starting || !model}>${starting ? "Queuing…" : "Make the set"}</button>
  </form>`;
}

function Row({ job, changed }) {
  const { act, busy, problem } = useDeed();
  const [open, setOpen] = useState(false);
  const [sure, setSure] = useState(false);
  const { progress } = job;
  const going = GOING.includes(job.status);
  const change = (words, what) =>
    html`<button type="button" class="small" aria-disabled=${busy ? "true" : undefined}
      onClick=${() =>
        act(async () => {
          await changeSet(job.id, what);
          changed();
        })}>${words}</button>`;
  const told = [
    job.model,
    job.labels ? job.labels.join(", ") : "classes drawn",
    `seeds from ${job.seed}`,
    `${whole(progress.images)} of ${whole(job.count)}`,
    going && job.waiting,
    going &&
      progress.images_per_second &&
      `${whole(Math.round(progress.images_per_second))} a second`,
    going && left(progress.eta_seconds),
    job.error?.detail,
  ];
  return html`<li class="run">
    <strong>${whole(job.count)} images</strong>
    <span class=${`status ${job.status}`}>${job.status}</span>
    <span class="run-told">${told.filter(Boolean).join(" · ")}</span>
    <time class="run-when" datetime=${job.created_at}>${ago(job.created_at)}</time>
    ${going && html`<${Progress} fraction=${progress.fraction} label=${`Progress of ${job.id}`} />`}
    <span class="run-acts">
      ${progress.shards > 0 && html`<button type="button" class="small" onClick=${() => setOpen(true)}>Files</button>`}
      <${CopyButton} text=${() => `synthorax generate-jobs fetch ${job.id}`} label="Copy the command that fetches it" />
      ${going && change("Cancel", "cancel")}
      ${["failed", "cancelled"].includes(job.status) && change("Make the rest", "resume")}
      ${!going && html`<button type="button" class="small" onClick=${() => setSure(true)}>Delete</button>`}
    </span>
    ${problem && html`<${Banner} problem=${problem} />`}
    ${open && html`<${Files} job=${job} onClose=${() => setOpen(false)} />`}
    ${
      sure &&
      html`<${Confirm} title="Delete this set?" words="Delete" close=${() => setSure(false)} deed=${async () => {
        await deleteSet(job.id);
        changed();
      }}><p>${progress.shards} of ${job.shards} files go. The same seeds make the same images again.</p><//>`
    }
  </li>`;
}

function Files({ job, onClose }) {
  const { content, problem, again } = useAsked(
    (signal) => shards(job.id, signal),
    [job.progress.shards],
  );
  return html`<${Dialog} title=${`Files of ${job.id}`} onClose=${onClose}>
    ${problem && html`<${Banner} problem=${problem} again=${again} />`}
    <p class="hint">${job.progress.shards} of ${job.shards} are there${
      job.links.manifest
        ? html`; <a href=${setUrl(job.id, "manifest.json")} download>manifest.json</a> names the seeds, labels and SHA-256 of each`
        : ""
    }.</p>
    <ul class="files">
      ${(content?.data ?? []).map(
        (
          shard,
        ) => html`<li key=${shard.file}><a href=${setUrl(job.id, `shards/${shard.file}`)} download>${shard.file}</a>
        <span class="hint"> ${size(shard.bytes)}, seeds ${shard.first_seed} to ${shard.first_seed + shard.images - 1}</span></li>`,
      )}
    </ul>
    <div class="bar"><button type="button" onClick=${onClose}>Close</button></div>
  <//>`;
}
