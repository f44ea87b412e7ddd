// A run followed live: the job as the server last told it, brought forward by its events.
import { Problem, run, runEvents, runMetrics } from "../api.js";
import { Metrics } from "./metrics.js";
import { isLive } from "./service.js";

const POLL_MS = 5000;
const KINDS = ["status", "metric", "sample", "checkpoint", "log"];

/**
 * Follows a run until it ends or `signal` aborts.
 * @param {string} id
 * @param {{job: (job: any) => void, metrics: (metrics: Metrics) => void,
 *   sample: (epoch: number) => void, log: (line: any) => void, replay: () => void,
 *   interrupted: (yes: boolean) => void, lost: (problem: Problem) => void}} tell
 *   `replay` says that the stream begins from the start, `lost` that there is nothing to follow.
 */
export async function follow(id, tell, signal) {
  const metrics = new Metrics();
  let job = null;
  let source = null;
  /** The stream tells the past first; progress waits until it has reached what the job says. */
  let reached = 0;

  async function refresh() {
    job = { phase: job?.phase, ...(await run(id, signal)) };
    reached = job.progress?.fraction ?? 0;
    tell.job(job);
  }

  const handle = {
    async status(event) {
      if (!isLive(job.status)) return;
      if (event.phase) job = { ...job, phase: event.phase };
      // The past is told too, with the end of an earlier attempt: the record says what holds now.
      if (event.status !== job.status) await settle();
      else tell.job(job);
    },
    async metric(event) {
      // What it runs on is known a little after it began to.
      if (event.scope === "epoch" && isLive(job.status) && !job.environment) await settle();
      metrics.add(event);
      tell.metrics(metrics);
      if (!isLive(job.status) || event.fraction < reached) return;
      reached = 0;
      const { epoch, epochs, images, fraction, eta_seconds } = event;
      job = {
        ...job,
        status: job.status === "queued" ? "running" : job.status,
        progress: { epoch, epochs, images, fraction, eta_seconds },
        metrics: event.scope === "step" || !job.metrics ? event : job.metrics,
      };
      tell.job(job);
    },
    sample: (event) => tell.sample(event.epoch),
    checkpoint: () => {},
    log: (event) => tell.log(event),
  };

  async function settle() {
    await refresh().catch(() => {});
    if (!isLive(job.status)) source?.close();
  }

  function open() {
    tell.replay();
    source = runEvents(id);
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => {
        try {
          handle[kind](JSON.parse(message.data));
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
        }
      });
    }
    source.addEventListener("open", () => tell.interrupted(false));
    source.addEventListener("error", async () => {
      if (signal.aborted) return;
      await settle();
      if (!isLive(job.status)) {
        source.close();
        tell.interrupted(false);
        return;
      }
      tell.interrupted(source.readyState !== EventSource.OPEN);
      if (source.readyState !== EventSource.CLOSED) return;
      // The browser gave up (an answer that was no stream): begin anew after a while.
      setTimeout(() => signal.aborted || open(), POLL_MS);
    });
  }

  try {
    await refresh();
  } catch (error) {
    if (error instanceof Problem) tell.lost(error);
    return;
  }
  try {
    for (const line of (await runMetrics(id, signal)).data) {
      metrics.add(line);
      // An epoch that was measured was drawn too; the stream may have forgotten its start.
      if (line.scope === "epoch") tell.sample(line.epoch);
    }
    tell.metrics(metrics);
  } catch {
    // A run that has not begun has no metrics; the stream brings them.
  }
  if (signal.aborted) return;
  signal.addEventListener("abort", () => source?.close());
  open();
  // While a run waits nothing streams, but its place in the queue changes.
  while (!signal.aborted && isLive(job.status)) {
    await new Promise((done) => setTimeout(done, POLL_MS));
    if (signal.aborted || document.hidden) continue;
    if (job.status !== "running") await settle();
  }
}
