/**
 * The operator's console: a page that shows what the operator's API says, and asks it to do things. It is served on the operator's
 * listener and asks nobody else. It keeps nothing but the key, and that in the tab.
 */
import { api, Problem } from "./api";
import { at, el, mark } from "./dom";
import { History } from "./history";
import { howServed, key } from "./key";
import { clearNotices, showReach } from "./notices";
import { overview } from "./overview";
import { Poll } from "./poll";
import { revocationsView } from "./revocations";
import { roomView } from "./room";
import { roomsView } from "./rooms";
import { readRoute } from "./route";
import { hush } from "./said";
import { setMayWrite } from "./scope";
import { showOff, showSignIn } from "./signin";
import type { View } from "./view";

let past = new History();
let view: View;
let degraded = false;

const poll = new Poll(async (signal) => {
  const asked = view;
  try {
    const [pods, answer] = await Promise.all([api.pods(signal), asked.load?.(signal)]);
    past.add(pods);
    degraded = Boolean(pods.degraded || answer?.degraded);
  } catch (why) {
    if (!(why instanceof Problem) || signal.aborted) throw why;
    if (why.status === 401) leave("The gateway doesn't take this key any more.");
    else if (why.code === "no_admin_key") leave("", showOff);
    throw why;
  }
}, (reach) => {
  showReach(reach, degraded, () => poll.now());
  view.show?.(past, reach);
});
const refresh = () => poll.now();

function makeView(): View {
  const route = readRoute(location.hash);
  switch (route.path[0]) {
    case undefined: return overview(refresh);
    case "rooms": return route.path.length > 1 ? roomView(route, refresh) : roomsView(route, refresh);
    case "revocations": return revocationsView(route, refresh);
    default: return {
      title: "Not found",
      element: el("div", {}, el("h1", { tabindex: -1 }, "There is nothing here"), el("p", {}, el("a", { href: "#/" }, "To the overview"))),
    };
  }
}

function showView(): void {
  view = makeView();
  document.title = `${view.title} · roompass console`;
  at("main").replaceChildren(view.element);
  view.show?.(past, poll.reach);
  const [, first = ""] = location.hash.split(/[/?]/);
  for (const link of at("nav").querySelectorAll("a")) mark(link, "aria-current", link.hash.replace(/^#\/?/, "") === first ? "page" : undefined);
}

function onHash(): void {
  hush();
  showView();
  // Who can't see that the page is another hears its heading.
  at("main").querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  scrollTo(0, 0);
  poll.now();
}

function setChrome(inside: boolean): void {
  for (const id of ["nav", "reach"]) at(id).hidden = !inside;
  // A proxy that sends the key along does so whether one has signed out or not.
  at("sign-out").hidden = !inside || !key.get();
}

function enter(): void {
  setChrome(true);
  setMayWrite(true);
  past = new History();
  addEventListener("hashchange", onHash);
  showView();
  poll.start();
}

/** leave forgets the key and all that it opened. */
function leave(why: string, show = () => showSignIn(why, enter)): void {
  poll.stop();
  removeEventListener("hashchange", onHash);
  key.forget();
  past = new History();
  degraded = false;
  document.querySelector("dialog")?.remove();
  hush();
  clearNotices();
  at("read-only").hidden = true;
  setChrome(false);
  document.title = "roompass console";
  show();
}

async function start(): Promise<void> {
  at("sign-out").addEventListener("click", () => leave(""));
  at("dismiss").addEventListener("click", hush);
  const served = howServed();
  if (served === "off") return showOff();
  if (served === "open" || key.get()) return enter();
  // Without an answer from the browser the API itself says whether it wants a key.
  if (served === "unknown" && await api.pods().then(() => true, () => false)) return enter();
  showSignIn("", enter);
}

void start();
