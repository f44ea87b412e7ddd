// A ZIP on its way to the service.
import { Problem, UNREACHABLE } from "../api.js";

/**
 * Uploads a ZIP; `told` hears how much of it has gone.
 * @param {File} file @param {(sent: number, total: number) => void} told @param {AbortSignal} signal
 */
export function uploadDataset(file, name, told, signal) {
  return new Promise((resolve, reject) => {
    // fetch cannot say how much of a body has been sent.
    const sending = new XMLHttpRequest();
    sending.open("POST", `/datasets?name=${encodeURIComponent(name)}`);
    sending.setRequestHeader("Content-Type", "application/zip");
    sending.responseType = "json";
    sending.upload.onprogress = (event) => told(event.loaded, event.total || file.size);
    sending.onload = () =>
      sending.status < 300
        ? resolve(sending.response)
        : reject(
            new Problem(
              {
                status: sending.status,
                detail: `The server answered ${sending.status}.`,
                ...sending.response,
              },
              sending.getResponseHeader("x-request-id"),
            ),
          );
    sending.onerror = () => reject(new Problem(UNREACHABLE));
    sending.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => sending.abort());
    sending.send(file);
  });
}
