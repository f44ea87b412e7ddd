// The form that starts a run.
import { Problem, estimateRun, models, presets, startRun } from "./api.js";
import { h, navigate } from "./dom.js";
import { duration } from "./format.js";
import { clearErrors, field, setError, showProblem, wholeNumber } from "./forms.js";

/** @param {AbortSignal} signal aborts when the view is left */
export function newRunForm(signal) {
  const path = h("input", {
    type: "text",
    placeholder: "chest-xray/train",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
  });
  const model = h("input", {
    type: "text",
    placeholder: "chest-demo",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
  });
  const preset = h("select");
  const about = h("span");
  const epochs = h("input", { type: "number", min: 1, max: 100000, step: 1, inputmode: "numeric" });
  const conditional = h("input", { type: "checkbox" });
  const ancestor = h("select", {}, h("option", { value: "" }, "Nothing: from the beginning"));
  const cost = h("button", { type: "button", class: "wide" }, "How long will it take?");
  const told = h("p", { class: "hint", role: "status" });
  const start = h("button", { class: "primary wide" }, "Start");
  const form = h(
    "form",
    { class: "panel form", novalidate: true, "aria-labelledby": "new-run" },
    h("h2", { id: "new-run" }, "New run"),
    field({
      name: "dataset.path",
      label: "Folder of images",
      control: path,
      hint: "On the server, under a dataset root; one sub-folder per class.",
    }),
    field({
      name: "model",
      label: "Model name",
      control: model,
      hint: "Published under this name.",
    }),
    field({ name: "preset", label: "Preset", control: preset, hint: about }),
    field({ name: "config.epochs", label: "Epochs", control: epochs }),
    field({
      name: "config.conditional",
      label: "One model that draws each class",
      control: conditional,
      inline: true,
    }),
    field({
      name: "config.fine_tune",
      label: "Begin with",
      control: ancestor,
      hint: "A version to fine-tune, in its own shape.",
    }),
    cost,
    told,
    start,
  );

  let known = [];
  function choose() {
    const chosen = known.find((entry) => entry.name === preset.value);
    about.textContent = chosen?.description ?? "";
    epochs.value = chosen?.config?.epochs ?? "";
    conditional.checked = chosen?.config?.conditional ?? false;
  }
  preset.addEventListener("change", choose);

  presets(signal)
    .then(({ data, default: best }) => {
      known = data;
      preset.replaceChildren(...data.map(({ name }) => h("option", { value: name }, name)));
      preset.value = best;
      choose();
    })
    .catch((error) => {
      if (error instanceof Problem) showProblem(form, error);
    });

  models(signal)
    .then(({ data }) => {
      const usable = data.filter((entry) => entry.usable).map(({ reference }) => reference);
      ancestor.append(...usable.map((name) => h("option", { value: name }, name)));
    })
    .catch((error) => {
      if (error instanceof Problem) showProblem(form, error);
    });

  /** The body of POST /train-jobs, or null after saying beside a field what is wrong with it. */
  function read() {
    clearErrors(form);
    for (const [box, message] of [
      [path, "Name a folder of images."],
      [model, "Give the model a name."],
    ]) {
      if (box.value.trim()) continue;
      setError(box, message);
      box.focus();
      return null;
    }
    const count = wholeNumber(epochs, 1, 100000);
    if (count === undefined) return null;
    return {
      dataset: { path: path.value.trim() },
      model: model.value.trim(),
      preset: preset.value,
      config: {
        epochs: count,
        // A version is fine-tuned with the classes that it has.
        ...(ancestor.value ? { fine_tune: ancestor.value } : { conditional: conditional.checked }),
      },
    };
  }

  let measuring = false;
  cost.addEventListener("click", async () => {
    const body = measuring ? null : read();
    if (!body) return;
    measuring = true;
    told.textContent = "Measuring half a minute of its steps on the worker…";
    try {
      let found = await estimateRun(body, signal);
      while (found.status === "measuring" && !signal.aborted) {
        await new Promise((done) => setTimeout(done, 2000));
        found = await estimateRun(body, signal);
      }
      told.textContent =
        found.status === "measured"
          ? `About ${duration(found.seconds)} on this worker (${found.device}): ${found.images.toLocaleString("en")} images at ${found.images_per_second} a second.`
          : `It could not be measured: ${found.reason}`;
    } catch (error) {
      told.textContent = "";
      if (error instanceof Problem) showProblem(form, error);
    } finally {
      measuring = false;
    }
  });

  let working = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (working) return;
    const body = read();
    if (!body) return;
    working = true;
    start.setAttribute("aria-disabled", "true");
    start.textContent = "Starting…";
    try {
      const job = await startRun(body, signal);
      navigate(`/ui/runs/${encodeURIComponent(job.id)}`);
    } catch (error) {
      if (!(error instanceof Problem)) return;
      // A problem about `dataset` as a whole belongs beside the folder as well.
      for (const entry of error.errors) if (entry.field === "dataset") entry.field = "dataset.path";
      showProblem(form, error);
    } finally {
      working = false;
      start.removeAttribute("aria-disabled");
      start.textContent = "Start";
    }
  });
  return form;
}
