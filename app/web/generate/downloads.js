// The images as files: made again by the server, with what makes each one again inside.
import { Problem, generateFile } from "../api.js";
import { Banner, announce, save } from "../parts.js";
import { html, useState } from "../vendor/ui/ui.js";

/** @type {[string, string, string, Record<string, any>][]} */
const FORMS = [
  ["ZIP of PNG", "application/zip", "zip", {}],
  ["ZIP of DICOM", "application/zip", "dicom.zip", { format: "dicom" }],
  ["NumPy array", "application/x-npy", "npy", {}],
];

/** @param {{body: any, images: any[], chosen: Set<number>}} props what was posted, and what is selected */
export default function Downloads({ body, images, chosen }) {
  const [working, setWorking] = useState("");
  const [problem, setProblem] = useState(null);
  const few = chosen.size > 0;
  async function make([name, accept, end, more]) {
    setWorking(name);
    setProblem(null);
    const { model, truncation } = body;
    const items = [...chosen]
      .sort((a, b) => a - b)
      .map((i) => ({ seed: images[i].seed, label: images[i].label }));
    try {
      const blob = await generateFile(
        few ? { model, truncation, items, ...more } : { ...body, ...more },
        accept,
      );
      save(blob, `${model.replace("@", "-")}-${images[0].seed}.${end}`);
      announce(`${name} saved`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
    setWorking("");
  }
  return html`<div class="downloads">
    <p class="hint">${few ? `The ${chosen.size} selected` : `All ${images.length}`}, with a manifest that
      makes each one again. Files carry no burnt-in mark: what they are is in their metadata.</p>
    <div class="bar">
      ${FORMS.map(
        (form) => html`<button type="button" class="small" key=${form[0]} disabled=${working !== ""}
        onClick=${() => make(form)}>${working === form[0] ? "Making…" : form[0]}</button>`,
      )}
    </div>
    <p class="hint"><a href=${`/ui/sets?model=${encodeURIComponent(body.model)}`}>Up to ten million
      as shards</a>, made by all workers.</p>
    ${problem && html`<${Banner} problem=${problem} />`}
  </div>`;
}
