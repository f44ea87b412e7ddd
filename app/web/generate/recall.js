// A picture dropped on the page says which sample it is.
import { Problem, verify } from "../api.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";

/** @param {{recalled: (request: any) => void}} props told the request that makes the picture */
export function Recall({ recalled }) {
  const [said, say] = useState("");
  const [over, setOver] = useState(false);
  const input = useRef(null);
  async function look(file) {
    if (!file) return;
    say(`Reading ${file.name} …`);
    try {
      const found = await verify(file);
      say(found.detail);
      if (found.sample) recalled({ ...found.sample, each: false, count: 1 });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      say(error.message);
    }
  }
  useEffect(() => {
    const files = (event) => event.dataTransfer?.types.includes("Files");
    const drag = (event) => files(event) && (event.preventDefault(), setOver(true));
    const leave = (event) => event.relatedTarget === null && setOver(false);
    const drop = (event) => {
      if (!files(event)) return;
      event.preventDefault();
      setOver(false);
      look(event.dataTransfer.files[0]);
    };
    addEventListener("dragover", drag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", drag);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
  return html`<div class="recall" data-over=${over ? "" : undefined}>
    <button type="button" class="wide" onClick=${() => input.current.click()}>Recall from a picture</button>
    <input ref=${input} type="file" class="unseen" tabindex="-1" aria-label="A picture made here" accept="image/*,.dcm"
      onChange=${(event) => (look(event.currentTarget.files[0]), (event.currentTarget.value = ""))} />
    <p class="hint" role="status">${said || "Drop a picture that was made here anywhere on the page: its settings come back."}</p>
  </div>`;
}
