// The form that starts a run: data, preset, start.
import { Problem, datasets, estimateRun, models, presets, startRun } from "../api.js";
import { duration, whole } from "../format.js";
import { navigate } from "../navigate.js";
import { Banner, Field, useAsked } from "../parts.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";

const FOLDER = "folder";
const MEASURE_MS = 2000;
const RESOLUTIONS = ["64", "128", "256", "512"];

async function everything(signal) {
  const [made, listed, configs] = await Promise.all([
    datasets(signal),
    models(signal),
    presets(signal),
  ]);
  return {
    ready: made.data.filter((each) => each.status === "ready"),
    usable: listed.data.filter((each) => each.usable),
    presets: configs.data,
    best: configs.default,
  };
}

/** What a preset says of the fields that it fills. */
function filled(presets, name) {
  const config = presets.find((each) => each.name === name)?.config;
  return {
    preset: name,
    epochs: String(config?.epochs ?? ""),
    conditional: config?.conditional ?? false,
    batch_size: String(config?.batch_size ?? ""),
    resolution: String(config?.resolution ?? ""),
  };
}

/** The form comes with what it can choose from: an answer that came later would write over it. */
export function NewRun() {
  const { content, problem, again } = useAsked(everything, []);
  if (content) return html`<${Form} ...${content} />`;
  return html`<div class="panel"><h2>New run</h2>
    ${problem ? html`<${Banner} problem=${problem} again=${again} />` : html`<p class="hint">Loading …</p>`}</div>`;
}

function Form({ ready, usable, presets, best }) {
  const [form, setForm] = useState(() => ({
    dataset: new URLSearchParams(location.search).get("dataset") || ready[0]?.id || FOLDER,
    path: "",
    model: "",
    ancestor: "",
    seed: "",
    ...filled(presets, best),
  }));
  const [errors, setErrors] = useState({});
  const [failed, setFailed] = useState(null);
  const [cost, setCost] = useState("");
  const [measuring, setMeasuring] = useState(false);
  const [starting, setStarting] = useState(false);
  const [more, setMore] = useState(false);
  const element = useRef(null);
  const turn = useRef(0);
  const leaving = useRef(new AbortController());
  useEffect(() => () => leaving.current.abort(), []);
  useEffect(() => {
    if (errors.batch_size || errors.resolution || errors.seed) setMore(true);
    // The fold opens first.
    requestAnimationFrame(() => element.current?.querySelector("[aria-invalid=true]")?.focus());
  }, [errors]);

  /** A change of what is asked makes what it costs another: that is asked anew. */
  function edit(change) {
    turn.current += 1;
    setCost("");
    setMeasuring(false);
    setForm((before) => ({ ...before, ...change }));
  }
  const on = (name) => (event) => edit({ [name]: event.currentTarget.value });
  const preset = presets.find((each) => each.name === form.preset);

  /** The body of POST /train-jobs, or null after saying beside each field what is wrong with it. */
  function read() {
    const wrong = {};
    const whole = (name, low, high) => {
      const value = Number(form[name]);
      if (form[name].trim() === "" || !Number.isSafeInteger(value) || value < low || value > high)
        wrong[name] = `Use a whole number from ${low} to ${high}.`;
      return value;
    };
    const epochs = whole("epochs", 1, 100000);
    const batch = whole("batch_size", 2, 8192);
    const seed = form.seed.trim() === "" ? null : whole("seed", 0, Number.MAX_SAFE_INTEGER);
    if (form.dataset === FOLDER && !form.path.trim()) wrong.path = "Name a folder of images.";
    if (!form.model.trim()) wrong.model = "Give the model a name.";
    setErrors(wrong);
    setFailed(null);
    if (Object.keys(wrong).length) return null;
    return {
      dataset: form.dataset === FOLDER ? { path: form.path.trim() } : form.dataset,
      model: form.model.trim(),
      preset: form.preset,
      config: {
        epochs,
        batch_size: batch,
        ...(seed === null ? {} : { seed }),
        // A version is fine-tuned with the classes and the resolution that it has.
        ...(form.ancestor
          ? { fine_tune: form.ancestor }
          : { conditional: form.conditional, resolution: Number(form.resolution) }),
      },
    };
  }

  const FIELDS = {
    "dataset.path": "path",
    dataset: form.dataset === FOLDER ? "path" : "dataset",
    model: "model",
    preset: "preset",
    "config.epochs": "epochs",
    "config.conditional": "conditional",
    "config.fine_tune": "ancestor",
    "config.batch_size": "batch_size",
    "config.resolution": "resolution",
    "config.seed": "seed",
  };
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
    const body = measuring ? null : read();
    if (!body) return;
    const mine = (turn.current += 1);
    setMeasuring(true);
    setCost("Measuring half a minute of its steps on the worker…");
    try {
      let found = await estimateRun(body, leaving.current.signal);
      while (found.status === "measuring" && mine === turn.current) {
        await new Promise((done) => setTimeout(done, MEASURE_MS));
        if (mine === turn.current) found = await estimateRun(body, leaving.current.signal);
      }
      if (mine !== turn.current) return;
      setCost(
        found.status === "measured"
          ? `About ${duration(found.seconds)} on this worker (${found.device}): ${whole(found.images)} images at ${found.images_per_second} a second.`
          : `It could not be measured: ${found.reason}`,
      );
    } catch (error) {
      if (mine !== turn.current) return;
      setCost("");
      refuse(error);
    }
    setMeasuring(false);
  }

  async function start(event) {
    event.preventDefault();
    const body = starting ? null : read();
    if (!body) return;
    setStarting(true);
    try {
      const job = await startRun(body, leaving.current.signal);
      navigate(`/ui/runs/${encodeURIComponent(job.id)}`);
    } catch (error) {
      refuse(error);
    }
    setStarting(false);
  }

  return html`<form class="panel form" ref=${element} novalidate aria-labelledby="new-run" onSubmit=${start}>
    <h2 id="new-run">New run</h2>
    <${Field} label="Dataset" error=${errors.dataset} hint=${html`<a href="/ui/datasets">Upload a ZIP or register a folder</a>`}>
      ${(tied) => html`<select ...${tied} value=${form.dataset} onChange=${on("dataset")}>
        ${ready.map((each) => html`<option key=${each.id} value=${each.id}>${each.name} (${whole(each.images)} images)</option>`)}
        <option value=${FOLDER}>A folder on the server …</option></select>`}
    <//>
    ${
      form.dataset === FOLDER &&
      html`<${Field} label="Folder of images" error=${errors.path}
      hint="Under a dataset root; one sub-folder per class.">
      ${(tied) => html`<input ...${tied} type="text" placeholder="chest-xray/train" autocomplete="off" spellcheck="false" value=${form.path} onInput=${on("path")} />`}
    <//>`
    }
    <${Field} label="Model name" error=${errors.model} hint="Published under this name.">
      ${(tied) => html`<input ...${tied} type="text" placeholder="chest-demo" autocomplete="off" spellcheck="false" value=${form.model} onInput=${on("model")} />`}
    <//>
    <${Field} label="Preset" error=${errors.preset} hint=${preset?.description}>
      ${(
        tied,
      ) => html`<select ...${tied} value=${form.preset} onChange=${(e) => edit(filled(presets, e.currentTarget.value))}>
        ${presets.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`}
    <//>
    <${Field} label="Epochs" error=${errors.epochs}>
      ${(tied) => html`<input ...${tied} type="number" min="1" max="100000" step="1" inputmode="numeric" value=${form.epochs} onInput=${on("epochs")} />`}
    <//>
    <${Field} label="One model that draws each class" error=${errors.conditional} inline>
      ${(tied) => html`<input ...${tied} type="checkbox" checked=${form.conditional} onChange=${(e) => edit({ conditional: e.currentTarget.checked })} />`}
    <//>
    <${Field} label="Begin with" error=${errors.ancestor} hint="A version to fine-tune, in its own shape.">
      ${(tied) => html`<select ...${tied} value=${form.ancestor} onChange=${on("ancestor")}>
        <option value="">Nothing: from the beginning</option>
        ${usable.map(({ reference }) => html`<option key=${reference} value=${reference}>${reference}</option>`)}</select>`}
    <//>
    <details open=${more} onToggle=${(e) => setMore(e.currentTarget.open)}>
      <summary>More settings</summary>
      <div class="stack">
        <${Field} label="Batch size" error=${errors.batch_size}>
          ${(tied) => html`<input ...${tied} type="number" min="2" max="8192" step="1" inputmode="numeric" value=${form.batch_size} onInput=${on("batch_size")} />`}
        <//>
        <${Field} label="Resolution" error=${errors.resolution}>
          ${(
            tied,
          ) => html`<select ...${tied} value=${form.resolution} disabled=${form.ancestor !== ""} onChange=${on("resolution")}>
            ${RESOLUTIONS.map((side) => html`<option key=${side} value=${side}>${side} × ${side} px</option>`)}</select>`}
        <//>
        <${Field} label="Seed" error=${errors.seed} hint="Weights, order and noise follow from it.">
          ${(tied) => html`<input ...${tied} type="number" min="0" step="1" inputmode="numeric" placeholder="random" value=${form.seed} onInput=${on("seed")} />`}
        <//>
      </div>
    </details>
    <button type="button" class="wide" aria-disabled=${measuring ? "true" : undefined} onClick=${measure}>How long will it take?</button>
    <p class="hint" role="status">${cost}</p>
    <button class="primary wide" aria-disabled=${starting ? "true" : undefined}>${starting ? "Starting…" : "Start"}</button>
    ${failed && html`<${Banner} problem=${failed} />`}
  </form>`;
}
