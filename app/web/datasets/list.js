// The Datasets page: what there is, a ZIP by drop or button, a folder on the server.
import { Problem, datasets, registerFolder } from "../api.js";
import { ago, size, whole } from "../format.js";
import { useDeed } from "../deeds.js";
import { navigate, stay } from "../navigate.js";
import { Banner, Field, Progress, announce } from "../parts.js";
import { usePolled } from "../polled.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";
import { uploadDataset } from "./upload.js";

const POLL_MS = 3000;
const WORDS = { validating: "Validating", ready: "Ready", failed: "Failed" };
const KINDS = { validating: "running", ready: "succeeded", failed: "failed" };

/** A dataset's state in a word with its dot. */
export const Status = ({ dataset }) =>
  html`<span class=${`status ${KINDS[dataset.status]}`}>${WORDS[dataset.status]}</span>`;

export default function DatasetsPage() {
  const { content, problem, again } = usePolled(
    (signal) => datasets(signal),
    [],
    POLL_MS,
    ({ data }) => data.some((each) => each.status === "validating"),
  );
  const made = (dataset) => {
    announce(`${dataset.name} is being validated`);
    navigate(`/ui/datasets/${dataset.id}`);
  };
  return html`<div class="split">
    <div class="stack">
      <${Upload} made=${made} />
      <${Register} made=${made} />
    </div>
    <section class="results" aria-label="Datasets">
      <h1 tabindex="-1">Datasets</h1>
      ${problem && html`<${Banner} problem=${problem} again=${again} />`}
      ${
        content?.data.length === 0 &&
        html`<div class="empty"><h2>No datasets</h2>
        <p>Drop a ZIP with one sub-folder per class (PNG, JPEG, DICOM). Nothing leaves this server.</p></div>`
      }
      <ul class="runs" hidden=${!content?.data.length}>
        ${(content?.data ?? []).map(
          (each) => html`<li class="run" key=${each.id}>
          <a class="run-name" href=${`/ui/datasets/${each.id}`}>${each.name}</a>
          <${Status} dataset=${each} />
          <span class="run-told">${told(each)}</span>
          <time class="run-when">${each.created_at ? ago(new Date(1000 * each.created_at).toISOString()) : ""}</time>
          ${
            each.progress?.total > 0 &&
            html`<${Progress} fraction=${each.progress.done / each.progress.total}
            label=${`Validation of ${each.name}`} />`
          }
        </li>`,
        )}
      </ul>
    </section>
  </div>`;
}

function told(dataset) {
  if (dataset.status === "failed") return dataset.error?.detail ?? "";
  if (dataset.progress) return `${dataset.progress.phase} …`;
  const labels = Object.entries(dataset.labels).map(
    ([name, { images }]) => `${name} ${whole(images)}`,
  );
  return [
    `${whole(dataset.images)} images`,
    labels.join(", "),
    dataset.path ?? (dataset.stored_bytes ? size(dataset.stored_bytes) : ""),
  ]
    .filter(Boolean)
    .join(" · ");
}

function Upload({ made }) {
  const [sending, setSending] = useState(null);
  const [problem, setProblem] = useState(null);
  const [over, setOver] = useState(false);
  const input = useRef(null);
  const leaving = useRef(null);
  useEffect(() => () => leaving.current?.abort(), []);
  async function send(file) {
    if (!file || sending) return;
    setProblem(null);
    if (!/\.zip$/i.test(file.name)) {
      setProblem(
        new Problem({
          detail: `${file.name} is no ZIP.`,
          remedy: "Pack the class folders into one ZIP.",
        }),
      );
      return;
    }
    leaving.current = new AbortController();
    const name = file.name.replace(/\.zip$/i, "").slice(0, 200);
    setSending({ name, fraction: 0 });
    const sent = stay(`${name} is being sent. Leave this page, and stop the upload?`);
    let dataset = null;
    try {
      const told = (gone, total) => setSending({ name, fraction: total ? gone / total : 0 });
      dataset = await uploadDataset(file, name, told, leaving.current.signal);
    } catch (error) {
      if (error instanceof Problem) setProblem(error);
      else if (error.name !== "AbortError") throw error;
    } finally {
      sent();
      setSending(null);
    }
    if (dataset) made(dataset);
  }
  const files = (event) => event.dataTransfer?.types.includes("Files");
  return html`<section class="panel form drop" data-over=${over ? "" : undefined} aria-labelledby="upload"
    onDragOver=${(event) => files(event) && (event.preventDefault(), setOver(true))}
    onDragLeave=${() => setOver(false)}
    onDrop=${(event) => files(event) && (event.preventDefault(), setOver(false), send(event.dataTransfer.files[0]))}>
    <h2 id="upload">Upload a ZIP</h2>
    <p class="hint">One sub-folder per class; or train, val and test with class folders; or images and a CSV.
      PNG, JPEG, DICOM. Names and headers of patients stay on this server.</p>
    <button type="button" class="primary wide" aria-disabled=${sending ? "true" : undefined}
      onClick=${() => sending || input.current.click()}>Choose a ZIP</button>
    <input ref=${input} type="file" class="unseen" tabindex="-1" accept=".zip" aria-label="A ZIP of images"
      onChange=${(event) => (send(event.currentTarget.files[0]), (event.currentTarget.value = ""))} />
    ${
      sending &&
      html`<p class="hint" role="status">Sending ${sending.name}: ${Math.floor(100 * sending.fraction)} %</p>
      <${Progress} fraction=${sending.fraction} label=${`Upload of ${sending.name}`} />
      <button type="button" class="small" onClick=${() => leaving.current.abort()}>Stop the upload</button>`
    }
    ${problem && html`<${Banner} problem=${problem} />`}
  </section>`;
}

function Register({ made }) {
  const [path, setPath] = useState("");
  const [error, setError] = useState("");
  const { act, busy, problem } = useDeed();
  const ofPath = problem?.errors.some((each) => each.field === "path");
  function submit(event) {
    event.preventDefault();
    setError(path.trim() ? "" : "Name a folder of images.");
    if (path.trim()) act(async () => made(await registerFolder({ path: path.trim() })));
  }
  return html`<form class="panel form" novalidate onSubmit=${submit} aria-labelledby="register">
    <h2 id="register">Use a folder in place</h2>
    <${Field} label="Folder of images" error=${error || (ofPath && problem.message)} hint="On the server, under a dataset root. Nothing is copied.">
      ${(
        tied,
      ) => html`<input ...${tied} type="text" placeholder="chest-xray" autocomplete="off" spellcheck="false"
        value=${path} onInput=${(event) => setPath(event.currentTarget.value)} />`}
    <//>
    <button class="wide" aria-disabled=${busy ? "true" : undefined}>Register</button>
    ${problem && !ofPath && html`<${Banner} problem=${problem} />`}
  </form>`;
}
