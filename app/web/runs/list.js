// The Runs page: the runs, newest first, and the form that starts one.
import { Problem, readiness, runs } from "../api.js";
import { ago, left } from "../format.js";
import { Banner, Progress } from "../parts.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";
import { NewRun } from "./new-run.js";
import { serviceNotice, statusWord } from "./service.js";

const POLL_MS = 4000;
const COMPARED = 6;

export default function RunsPage() {
  const [known, setKnown] = useState(() => new Map());
  const [next, setNext] = useState(null);
  const [problem, setProblem] = useState(null);
  const [notice, setNotice] = useState(null);
  const [asked, setAsked] = useState(false);
  const [chosen, setChosen] = useState([]);
  const held = useRef(known);
  held.current = known;

  useEffect(() => {
    const leaving = new AbortController();
    async function refresh() {
      const [page, ready] = await Promise.all([
        runs(null, leaving.signal).catch((error) => error),
        readiness(leaving.signal),
      ]);
      if (leaving.signal.aborted) return;
      const before = held.current;
      const jobs = page instanceof Error ? [...before.values()] : page.data;
      const away = serviceNotice(
        ready,
        jobs.some((job) => job.status === "queued"),
      );
      setNotice(away);
      setAsked(true);
      // One message is enough where the notice has said why.
      setProblem(page instanceof Problem && !away ? page : null);
      if (page instanceof Error) return;
      // Later pages stay when the first is asked for again.
      const now = new Map([...page.data.map((job) => [job.id, job])]);
      for (const [id, job] of before) if (!now.has(id)) now.set(id, job);
      if (now.size === page.data.length) setNext(page.has_more ? page.next : null);
      setKnown(now);
    }
    (async () => {
      while (!leaving.signal.aborted) {
        if (!document.hidden) await refresh();
        await new Promise((done) => setTimeout(done, POLL_MS));
      }
    })();
    return () => leaving.abort();
  }, []);

  async function more() {
    try {
      const page = await runs(next);
      setKnown(new Map([...held.current, ...page.data.map((job) => [job.id, job])]));
      setNext(page.has_more ? page.next : null);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  }
  const choose = (id) =>
    setChosen((before) =>
      before.includes(id) ? before.filter((each) => each !== id) : [...before, id].slice(-COMPARED),
    );

  return html`<div class="split">
    <${NewRun} />
    <section class="results" aria-label="Runs">
      <div class="bar"><h1 tabindex="-1">Runs</h1><div class="bar-end">
        ${
          chosen.length > 1
            ? html`<a class="button small" href=${`/ui/runs/compare?runs=${chosen.join(",")}`}>Compare ${chosen.length} runs</a>`
            : known.size > 1 && html`<span class="hint">Select two to six to compare them.</span>`
        }
      </div></div>
      ${notice && html`<p class="notice" role="status">${notice}</p>`}
      ${problem && html`<${Banner} problem=${problem} />`}
      ${
        asked &&
        known.size === 0 &&
        !problem &&
        html`<div class="empty"><h2>No runs</h2>
        <p>Choose a dataset and press Start. The quick preset gives a first look within minutes.</p></div>`
      }
      <ul class="runs" aria-label="Runs" hidden=${known.size === 0}>
        ${[...known.values()].map((job) => html`<${Row} key=${job.id} job=${job} chosen=${chosen.includes(job.id)} choose=${choose} />`)}
      </ul>
      ${next !== null && html`<button type="button" onClick=${more}>Show more</button>`}
    </section>
  </div>`;
}

function Row({ job, chosen, choose }) {
  const name = job.publish_as ?? job.id;
  const epochs = job.progress && `epoch ${job.progress.epoch}/${job.progress.epochs}`;
  const told = [
    job.preset,
    job.status === "running" && epochs,
    job.status === "running" && left(job.progress?.eta_seconds),
    job.status === "failed" && job.error?.detail,
    job.status === "cancelled" && epochs && `stopped at ${epochs}`,
    job.status === "succeeded" && job.model,
  ];
  return html`<li class="run">
    <span class="run-first"><input type="checkbox" checked=${chosen} aria-label=${`Select ${name}, ${job.id}`} onChange=${() => choose(job.id)} />
      <a class="run-name" href=${`/ui/runs/${encodeURIComponent(job.id)}`}>${name}</a></span>
    <span class=${`status ${job.status}`}>${statusWord(job)}</span>
    <span class="run-told">${told.filter(Boolean).join(" · ")}</span>
    <time class="run-when" datetime=${job.created_at}>${ago(job.created_at)}</time>
    ${["running", "cancelling"].includes(job.status) && html`<${Progress} fraction=${job.progress?.fraction ?? 0} label=${`Progress of ${name}`} />`}
  </li>`;
}
