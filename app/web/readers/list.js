// The reader studies: what there is, and a new one.
import { Problem, datasets, models } from "../api.js";
import { ago, whole } from "../format.js";
import { navigate } from "../navigate.js";
import { Banner, Field, announce, useAsked } from "../parts.js";
import { html, useState } from "../vendor/ui/ui.js";
import { makeStudy, studies } from "./service.js";

/** A study's state in a word with its dot. */
export const Status = ({ study }) =>
  html`<span class=${`status ${study.closed_at ? "succeeded" : "running"}`}>${study.closed_at ? "Closed" : "Open"}</span>`;

/** How far its readers are. */
export function told(study) {
  const done = study.readers.filter((each) => each.finished_at).length;
  const readers = study.readers.length;
  return [
    study.model,
    `${whole(study.items)} images`,
    readers === 0 ? "no readers yet" : `${done} of ${readers} readers through`,
  ].join(" · ");
}

export default function ReaderStudiesPage() {
  const { content, problem, again } = useAsked((signal) => studies(signal), []);
  return html`<div class="split">
    <${NewStudy} />
    <section class="results" aria-label="Reader studies">
      <h1 tabindex="-1">Reader studies</h1>
      ${problem && html`<${Banner} problem=${problem} again=${again} />`}
      ${
        content?.data.length === 0 &&
        html`<div class="empty"><h2>No reader studies</h2>
        <p>Can people tell synthetic images from real ones? A study shows as many of each, in an order of its own to
          each reader, and says nothing until the end. It needs a model and held-out real images.</p></div>`
      }
      <ul class="runs" hidden=${!content?.data.length}>
        ${(content?.data ?? []).map(
          (each) => html`<li class="run" key=${each.id}>
          <a class="run-name" href=${`/ui/reader-studies/${each.id}`}>${each.design.name}</a>
          <${Status} study=${each} />
          <span class="run-told">${told(each)}</span>
          <time class="run-when" datetime=${each.created_at}>${ago(each.created_at)}</time>
        </li>`,
        )}
      </ul>
    </section>
  </div>`;
}

const FIRST = { name: "", model: "", dataset: "", per_label: "25", repeats: "0", margin: "10" };

function NewStudy() {
  const { content, problem, again } = useAsked(
    async (signal) => (await Promise.all([models(signal), datasets(signal)])).map((e) => e.data),
    [],
  );
  const [form, setForm] = useState(FIRST);
  const [allowed, setAllowed] = useState(false);
  const [errors, setErrors] = useState({});
  const [failed, setFailed] = useState(null);
  const [making, setMaking] = useState(false);
  const usable = (content?.[0] ?? []).filter((each) => each.usable);
  const ready = (content?.[1] ?? []).filter((each) => each.splits.held_out?.images > 0);
  const model =
    usable.find((each) => each.reference === form.model) ?? usable.find((each) => each.active);
  const chosen = ready.find((each) => each.id === form.dataset) ?? ready[0];
  const on = (name) => (event) => {
    const { value } = event.currentTarget;
    setForm((before) => ({ ...before, [name]: value }));
  };
  const number = (name) => (form[name].trim() === "" ? NaN : Number(form[name]));
  const classes = Math.max(1, model?.labels?.length ?? 1);
  const images = 2 * classes * number("per_label");

  async function make(event) {
    event.preventDefault();
    const wrong = {};
    for (const name of ["per_label", "repeats"])
      if (!Number.isSafeInteger(number(name))) wrong[name] = "Use a whole number.";
    if (!(number("margin") >= 1 && number("margin") <= 30)) wrong.margin = "Use 1 to 30.";
    if (!allowed) wrong.real_images_may_be_shown = "Say that this is allowed.";
    setErrors(wrong);
    setFailed(null);
    if (Object.keys(wrong).length || !model || !chosen || making) return;
    setMaking(true);
    try {
      const made = await makeStudy({
        model: model.reference,
        dataset: chosen.id,
        per_label: number("per_label"),
        repeats: number("repeats"),
        margin: number("margin") / 100,
        real_images_may_be_shown: true,
        ...(form.name.trim() ? { name: form.name.trim() } : {}),
      });
      announce("The reader study is made");
      navigate(`/ui/reader-studies/${made.id}`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const fields = Object.fromEntries(error.errors.map((each) => [each.field, each.allowed]));
      const known = Object.keys(fields).some((name) => name in form);
      setErrors(known ? fields : {});
      setFailed(known ? null : error);
    }
    setMaking(false);
  }

  return html`<form class="panel form" aria-labelledby="new-study" onSubmit=${make} novalidate>
    <h2 id="new-study">New reader study</h2>
    ${(problem ?? failed) && html`<${Banner} problem=${problem ?? failed} again=${problem && again} />`}
    <${Field} label="Model" error=${errors.model}>${(ties) => html`<select ...${ties}
      value=${model?.reference ?? ""} onChange=${on("model")}>
      ${usable.map((each) => html`<option key=${each.reference} value=${each.reference}>${each.reference}</option>`)}
    </select>`}<//>
    <${Field} label="Real images from" error=${errors.dataset}
      hint=${content && !ready.length ? "No dataset has held-out images: validate one with a split." : "Held-out ones, one a patient where that is enough."}>${(
        ties,
      ) => html`<select ...${ties}
      value=${chosen?.id ?? ""} onChange=${on("dataset")}>
      ${ready.map((each) => html`<option key=${each.id} value=${each.id}>${each.name}: ${whole(each.splits.held_out.images)} held out</option>`)}
    </select>`}<//>
    <${Field} label="Images of each class and kind" error=${errors.per_label}
      hint=${images > 0 ? `${whole(images)} images for each reader` : ""}>${(
        ties,
      ) => html`<input ...${ties}
      type="text" inputmode="numeric" value=${form.per_label} onInput=${on("per_label")} />`}<//>
    <${Field} label="Shown twice" error=${errors.repeats} hint="An even number: does a reader agree with themselves?">${(
      ties,
    ) => html`<input ...${ties}
      type="text" inputmode="numeric" value=${form.repeats} onInput=${on("repeats")} />`}<//>
    <${Field} label="Margin in percentage points" error=${errors.margin}
      hint="Fixed now: readers count as guessing if the whole interval of their accuracy lies within 50 % ± this.">${(
        ties,
      ) => html`<input ...${ties}
      type="text" inputmode="decimal" value=${form.margin} onInput=${on("margin")} />`}<//>
    <${Field} label="Title" error=${errors.name} hint="Readers see it: name nothing that hints.">${(
      ties,
    ) => html`<input ...${ties}
      type="text" maxlength="200" placeholder="Reader study" value=${form.name} onInput=${on("name")} />`}<//>
    <${Field} inline label="Readers will see real images of these patients, and they may"
      error=${errors.real_images_may_be_shown}>${(ties) => html`<input ...${ties} type="checkbox"
      checked=${allowed} onChange=${(event) => setAllowed(event.currentTarget.checked)} />`}<//>
    <button class="primary wide" aria-disabled=${making || !model || !chosen ? "true" : undefined}>${making ? "Making…" : "Make the study"}</button>
  </form>`;
}
