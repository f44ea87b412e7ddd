// In the frame: who is there to train, and how many runs wait.
import { logOut, readiness, runs, session } from "./api.js";
import { html, useEffect, useState } from "./vendor/ui/ui.js";

const POLL_MS = 10_000;

/** Words for the frame, and whether they are a warning. */
function told(ready, waiting) {
  if (!ready) return ["no answer", true];
  const { redis, workers, engine } = ready.checks;
  if (engine.status !== "ok")
    return [engine.reason ?? "loading the model", engine.status === "failed"];
  if (redis.status === "not configured") return ["generation only", false];
  if (redis.status !== "ok") return ["train jobs away", true];
  const count = workers.training;
  const queue = waiting === null ? "" : ` · ${waiting} waiting`;
  return [
    `${count === 0 ? "no worker" : count === 1 ? "1 worker" : `${count} workers`}${queue}`,
    count === 0,
  ];
}

export function ServiceState() {
  const [state, setState] = useState(null);
  const [who, setWho] = useState(null);
  useEffect(() => {
    const leaving = new AbortController();
    session(leaving.signal).then(setWho, () => {});
    return () => leaving.abort();
  }, []);
  useEffect(() => {
    const leaving = new AbortController();
    (async () => {
      while (!leaving.signal.aborted) {
        if (!document.hidden) {
          const [ready, queued] = await Promise.all([
            readiness(leaving.signal),
            runs(null, leaving.signal, "queued").catch(() => null),
          ]);
          if (leaving.signal.aborted) return;
          const waiting = queued && `${queued.data.length}${queued.has_more ? "+" : ""}`;
          setState(told(ready, waiting));
        }
        await new Promise((done) => setTimeout(done, POLL_MS));
      }
    })();
    return () => leaving.abort();
  }, []);
  if (!state) return null;
  const [words, warn] = state;
  return html`<a class=${warn ? "quiet warn" : "quiet"} href="/ui/runs">${words}</a>
    ${
      who?.by === "session" &&
      html`<button type="button" class="quiet" onClick=${logOut}
      title=${`${who.name || who.key}: ${who.scope}`}>Log out</button>`
    }`;
}
