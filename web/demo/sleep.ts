/** The dialog of a machine that sleeps: how long still, and a button that wakes it. */
import { at } from "./dom";

const nap = 5 * 60_000;

/** Sleeps until the time is over or somebody wakes it, by the button or by Escape. */
export function sleepThrough(): Promise<void> {
  const dialog = at<HTMLDialogElement>("sleep-dialog");
  const until = Date.now() + nap;
  const show = () => {
    const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    at("nap").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds === 0) dialog.close();
  };
  show();
  dialog.showModal();
  const timer = setInterval(show, 250);
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    clearInterval(timer);
    resolve();
  }, { once: true }));
}
