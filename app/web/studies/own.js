// A model of one's own beside the study's: its arms out, its predictions in.
import { Problem } from "../api.js";
import { Banner, CopyButton, announce } from "../parts.js";
import { html, useRef, useState } from "../vendor/ui/ui.js";
import { scoreStudy } from "./service.js";

const NAME_MAX = 63;

/** What the model is called in the results: the file's name, as the command line has it. */
const nameOf = (file) =>
  file
    .replace(/\.[^.]*$/, "")
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "-")
    .replace(/^-+/, "")
    .slice(0, NAME_MAX)
    .replace(/-+$/, "") || "mine";

export function Own({ study, changed }) {
  const [failed, setFailed] = useState(null);
  const [sending, setSending] = useState(false);
  const input = useRef(null);
  async function score(file) {
    if (!file) return;
    setFailed(null);
    setSending(true);
    try {
      await scoreStudy(study.id, nameOf(file.name), file);
      announce(`${nameOf(file.name)} is being scored`);
      changed();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setFailed(error);
    }
    setSending(false);
  }
  return html`<section class="panel stack" aria-labelledby="own">
    <h2 id="own">A model of your own</h2>
    <p class="hint">Train it on each arm, as the README in the arms says, then give its predictions here:
      it stands beside the study's classifiers. The file's name is the model's.</p>
    <div class="bar">
      <${CopyButton} text=${() => `synthorax study arms ${study.id} -o arms.zip`} label="Copy the command that fetches the arms" />
      <button type="button" aria-disabled=${sending ? "true" : undefined} onClick=${() => sending || input.current.click()}>${sending ? "Sending …" : "Score predictions …"}</button>
      <input ref=${input} type="file" class="unseen" tabindex="-1" accept=".csv,text/csv" aria-label="Predictions, a CSV"
        onChange=${(event) => (score(event.currentTarget.files[0]), (event.currentTarget.value = ""))} />
    </div>
    ${failed && html`<${Banner} problem=${failed} />`}
    ${
      study.scores.length > 0 &&
      html`<ul class="checks" aria-label="Models of your own">${study.scores.map(
        ({ name, error }) =>
          html`<li key=${name}>${name}${error ? html`: <span class="error">not scored. ${error.detail}</span>` : study.status === "succeeded" ? " is in the results" : " is being scored"}</li>`,
      )}</ul>`
    }
  </section>`;
}
