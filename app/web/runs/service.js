// What the readiness report means for someone who waits for a run.

/**
 * A sentence about a part of the service that is away, or null.
 * @param {any} ready what GET /health/ready answers; null: no answer
 * @param {boolean} queued whether a run that is looked at waits for a worker
 */
export function serviceNotice(ready, queued) {
  const checks = ready?.checks ?? {};
  if ((checks.redis?.status ?? "ok") !== "ok")
    return "Train jobs are away (Redis); generation goes on.";
  if (queued && checks.workers?.training === 0) {
    return "The run is queued, but no worker is connected.";
  }
  return null;
}

const WORDS = {
  queued: "Queued",
  running: "Running",
  cancelling: "Cancelling",
  succeeded: "Succeeded",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const isLive = (status) => ["queued", "running", "cancelling"].includes(status);

/** A run's status in a word, with its place in the queue where it waits. */
export function statusWord(job) {
  const word = WORDS[job.status] ?? job.status;
  if (job.status !== "queued" || job.queue_position === null) return word;
  const ahead = job.queue_position;
  if (!ahead) return ahead === 0 ? "Queued, next" : word;
  return `Queued behind ${ahead} ${ahead === 1 ? "run" : "runs"}`;
}
