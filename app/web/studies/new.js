// The form that fixes a study: what it costs is said before it can begin.
import { Problem, datasets, models, presets } from "../api.js";
import { duration, whole } from "../format.js";
import { navigate } from "../navigate.js";
import { Banner, Field, useAsked } from "../parts.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";
import { estimateStudy, startStudy } from "./service.js";

const MEASURE_MS = 2000;
const VERSION = "version ";
const FEW = 200; // images of a class

async function everything(signal) {
  const [made, listed, configs] = await Promise.all([
    datasets(signal),
    models(signal),
    presets(signal),
  ]);
  return {
    ready: made.data.filter(
      (each) => each.status === "ready" && Object.keys(each.labels).length > 1,
    ),
    usable: listed.data.filter((each) => each.usable),
    presets: configs.data,
    best: configs.default,
  };
}

const FIELDS = {
  dataset: "dataset",
  "config.positive": "positive",
  "config.kind": "kind",
  "config.generator": "generator",
  "config.generator.model": "generator",
  "config.generator.preset": "generator",
  "config.generators": "generators",
  "config.sizes": "sizes",
  "config.ratio": "ratio",
  "config.seeds": "seeds",
  "config.smallest_useful_effect": "effect",
  "config.test": "dataset",
  "config.labels": "positive",
  "config.seed": "seed",
};

/** The form comes with what it can choose from: an answer that came later would write over it. */
export default function NewStudyPage() {
  const { content, problem, again } = useAsked(everything, []);
  return html`<div class="run-page">
    <p><a href="/ui/studies" class="back">Studies</a></p>
    <h1 tabindex="-1">New study</h1>
    ${problem && html`<div class="panel"><${Banner} problem=${problem} again=${again} /></div>`}
    ${content ? html`<${Form} ...${content} />` : !problem && html`<p class="hint">Loading …</p>`}
  </div>`;
}

function Form({ ready, usable, presets, best }) {
  const query = new URLSearchParams(location.search);
  const first = ready.find((each) => each.id === query.get("dataset")) ?? ready[0];
  const [form, setForm] = useState({
    name: "",
    dataset: first?.id ?? "",
    kind: "usefulness",
    positive: rarest(first),
    generator: query.get("model") ? VERSION + query.get("model") : best,
    generators: "3",
    sizes: "1",
    ratio: "1",
    seeds: "3",
    effect: "0.01",
    seed: "",
  });
  const [errors, setErrors] = useState({});
  const [failed, setFailed] = useState(null);
  const [cost, setCost] = useState(null);
  const [busy, setBusy] = useState("");
  const element = useRef(null);
  const turn = useRef(0);
  const leaving = useRef(new AbortController());
  useEffect(() => () => leaving.current.abort(), []);
  useEffect(() => {
    element.current?.querySelector("[aria-invalid=true]")?.focus();
  }, [errors]);

  /** What it costs is of what is asked: a change wants it to be told anew. */
  function edit(change) {
    turn.current += 1;
    setCost(null);
    setBusy("");
    setForm((before) => ({ ...before, ...change }));
  }
  const on = (name) => (event) => edit({ [name]: event.currentTarget.value });
  const chosen = ready.find((each) => each.id === form.dataset);

  /** The body of POST /studies, or null after saying beside each field what is wrong with it. */
  function read() {
    const wrong = {};
    const value = (name, low, high, isWhole) => {
      const given = Number(form[name]);
      const right = isWhole ? Number.isSafeInteger(given) : Number.isFinite(given);
      if (form[name].trim() === "" || !right || given < low || given > high)
        wrong[name] = `Use a ${isWhole ? "whole " : ""}number from ${low} to ${high}.`;
      return given;
    };
    const folded = form.kind === "small_class"; // which has a generator in every fold
    const sizes = form.sizes
      .split(/[\s,;]+/)
      .filter(Boolean)
      .map(Number);
    if (!folded && (!sizes.length || !sizes.every((each) => each >= 0.01 && each <= 1)))
      wrong.sizes = "Use numbers from 0.01 to 1, with commas between them.";
    const seed = form.seed.trim() === "" ? null : value("seed", 0, 2147483647, true);
    const version = form.generator.startsWith(VERSION);
    const config = {
      kind: form.kind,
      name: form.name.trim(),
      positive: form.positive,
      generator: version
        ? { model: form.generator.slice(VERSION.length) }
        : { preset: form.generator },
      ...(folded ? {} : { generators: value("generators", 1, 20, true), sizes }),
      ratio: value("ratio", 0.1, 10, false),
      seeds: value("seeds", 1, 50, true),
      smallest_useful_effect: value("effect", 0.0001, 0.5, false),
      ...(seed === null ? {} : { seed }),
    };
    if (!form.dataset) wrong.dataset = "Choose a dataset.";
    setErrors(wrong);
    setFailed(null);
    return Object.keys(wrong).length ? null : { dataset: form.dataset, config };
  }

  function refuse(error) {
    if (!(error instanceof Problem)) {
      if (error.name !== "AbortError") throw error;
      return;
    }
    const named = {};
    for (const each of error.errors)
      if (each.field in FIELDS)
        named[FIELDS[each.field]] = error.errors.length === 1 ? error.message : each.allowed;
    if (Object.keys(named).length) setErrors(named);
    else setFailed(error);
  }

  async function measure() {
    const body = read();
    if (!body) return;
    const mine = (turn.current += 1);
    setBusy("measuring");
    try {
      do {
        const found = await estimateStudy(body, leaving.current.signal);
        if (mine !== turn.current) return;
        setCost(found);
        if (found.status !== "measuring") break;
        await new Promise((done) => setTimeout(done, MEASURE_MS));
      } while (mine === turn.current && !leaving.current.signal.aborted);
    } catch (error) {
      if (mine === turn.current) refuse(error);
    }
    if (mine === turn.current) setBusy("");
  }

  async function start(event) {
    event.preventDefault();
    if (!cost) {
      await measure();
      return;
    }
    const body = busy === "starting" ? null : read();
    if (!body) return;
    turn.current += 1;
    setBusy("starting");
    try {
      const study = await startStudy(body, leaving.current.signal);
      navigate(`/ui/studies/${encodeURIComponent(study.id)}`);
    } catch (error) {
      refuse(error);
      setBusy("");
    }
  }

  const version = form.generator.startsWith(VERSION);
  const images = chosen?.labels[form.positive]?.images ?? FEW;
  const input =
    (name, mode = "decimal") =>
    (tied) => html`<input ...${tied} type="text"
    inputmode=${mode} autocomplete="off" value=${form[name]} onInput=${on(name)} />`;
  return html`<form class="study-form" ref=${element} novalidate aria-label="New study" onSubmit=${start}>
      <section class="panel stack" aria-labelledby="question">
        <h2 id="question">Question</h2>
        <${Field} label="Dataset" error=${errors.dataset}
          hint=${
            chosen && chosen.patients === null
              ? "It does not tell patients: each image counts as one, and images of one patient may be on both sides."
              : html`<a href="/ui/datasets">Upload a ZIP or register a folder</a>`
          }>
          ${(tied) => html`<select ...${tied} value=${form.dataset} onChange=${(event) => {
            const next = ready.find((each) => each.id === event.currentTarget.value);
            edit({ dataset: event.currentTarget.value, positive: rarest(next) });
          }}>
            ${ready.length === 0 && html`<option value="">None of two or more classes is ready</option>`}
            ${ready.map((each) => html`<option key=${each.id} value=${each.id}>${each.name} (${whole(each.images)} images)</option>`)}</select>`}
        <//>
        <${Field} label="Class to tell from the rest" error=${errors.positive}>
          ${(tied) => html`<select ...${tied} value=${form.positive} onChange=${on("positive")}>
            ${Object.entries(chosen?.labels ?? {}).map(([label, tally]) => html`<option key=${label} value=${label}>${label} (${whole(tally.images)} images)</option>`)}</select>`}
        <//>
        <${Field} label="How it is tested" error=${errors.kind}
          hint=${images < FEW && form.kind === "usefulness" && `${form.positive} has ${whole(images)} images. With fewer than ${FEW} the held-out ones are too few to tell anything by; folds test them all.`}>
          ${(tied) => html`<select ...${tied} value=${form.kind} onChange=${on("kind")}>
            <option value="usefulness">On the dataset's held-out images</option>
            <option value="small_class">A class of few images: all patients, folded</option></select>`}
        <//>
        <${Field} label="Smallest useful effect" error=${errors.effect}
          hint="Of the AUROC. What is less does not matter to you; fixed now, not when the results are seen.">
          ${input("effect")}<//>
        <${Field} label="Name" hint="For people; may stay empty.">
          ${(tied) => html`<input ...${tied} type="text" maxlength="200" autocomplete="off" value=${form.name} onInput=${on("name")} />`}
        <//>
      </section>
      <section class="panel stack" aria-labelledby="images">
        <h2 id="images">Images and runs</h2>
        <${Field} label="Synthetic images from" error=${errors.generator}
          hint=${
            version
              ? "A published version may have seen the patients that are tested on. A generator trained by the study has not."
              : presets.find((each) => each.name === form.generator)?.description
          }>
          ${(tied) => html`<select ...${tied} value=${form.generator} onChange=${on("generator")}>
            <optgroup label="Trained by the study">${presets.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</optgroup>
            ${form.kind === "usefulness" && html`<optgroup label="A published version">${usable.map(({ reference }) => html`<option key=${reference} value=${VERSION + reference}>${reference}</option>`)}</optgroup>`}
          </select>`}
        <//>
        <div class="study-pair">
          ${
            form.kind === "usefulness" &&
            html`<${Field} label="Generators" error=${errors.generators}
            hint=${version ? "It is one: its samples are drawn so many times." : "Trained anew with other seeds."}>
            ${input("generators", "numeric")}<//>`
          }
          <${Field} label="Classifiers each" error=${errors.seeds} hint="With other seeds.">
            ${input("seeds", "numeric")}<//>
        </div>
        <div class="study-pair">
          <${Field} label="Synthetic for each real image" error=${errors.ratio}>${input("ratio")}<//>
          <${Field} label="Seed" error=${errors.seed}>
            ${(tied) => html`<input ...${tied} type="text" inputmode="numeric" placeholder="random" autocomplete="off" value=${form.seed} onInput=${on("seed")} />`}
          <//>
        </div>
        ${
          form.kind === "usefulness" &&
          html`<${Field} label="Shares of the training patients" error=${errors.sizes}
          hint="1 is all; 0.1, 0.3, 1 shows whether it helps where there are few. Each share costs as much again.">
          ${input("sizes", "text")}<//>`
        }
      </section>
      <section class="panel stack study-cost" aria-labelledby="cost">
        <h2 id="cost">What it takes</h2>
        <${Cost} cost=${cost} measuring=${busy === "measuring"} />
        <div class="bar">
          <button type="button" aria-disabled=${busy ? "true" : undefined} onClick=${() => busy || measure()}>What will it take?</button>
          <button class="primary" aria-disabled=${!cost || busy === "starting" ? "true" : undefined}>${busy === "starting" ? "Starting…" : "Begin the study"}</button>
        </div>
        ${failed && html`<${Banner} problem=${failed} />`}
      </section>
    </form>`;
}

function Cost({ cost, measuring }) {
  const time = !cost
    ? "The configuration is fixed when the study begins. First ask what it takes: it may be hours or days."
    : cost.status === "measured"
      ? `About ${duration(cost.total_seconds)} by one worker of each kind, measured just there.`
      : cost.status === "failed"
        ? `How long it takes could not be measured: ${cost.reason}`
        : "How long it takes is being measured on the worker…";
  return html`${
    cost &&
    html`<dl class="numbers study-numbers">
    <div><dt>Generators trained</dt><dd>${whole(cost.generators)}</dd></div>
    <div><dt>Classifiers trained</dt><dd>${whole(cost.classifiers)}</dd></div>
    <div><dt>Time</dt><dd>${cost.status === "measured" ? duration(cost.total_seconds) : measuring ? "…" : "–"}</dd></div>
  </dl>`
  }<p role="status" class=${cost ? "hint" : ""}>${time}</p>`;
}

const HEALTHY = /^(normal|healthy|negative|control|no[ _-]?finding)s?$/i;

/** The class to tell, more often than not: of the fewest images, and no finding is no class. */
function rarest(dataset) {
  const labels = Object.entries(dataset?.labels ?? {});
  const findings = labels.filter(([label]) => !HEALTHY.test(label));
  const sorted = (findings.length ? findings : labels).sort(
    (one, other) => one[1].images - other[1].images,
  );
  return sorted[0]?.[0] ?? "";
}
