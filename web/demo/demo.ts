/** The demo: a small video room, in which one may break whatever keeps its tokens fresh. */
import type { Gateway, Room } from "../client/src/client";
import { at } from "./dom";
import type { Kind } from "./media";
import type { Mesh } from "./mesh";
import { Portrait } from "./portrait";
import { showState, Visit } from "./visit";

declare global { interface Window { roompass?: { gateway: Gateway; room: Room; mesh: Mesh } } }

let visit: Visit | undefined;
let preview: Portrait | undefined;

const person = at<HTMLInputElement>("person");
const asName = () => person.value.trim();

/** Shows the entrance, and why one is there again. */
function showEntrance(why = "") {
  at("inside").hidden = true;
  at("entrance").hidden = false;
  showState();
  preview = new Portrait(asName() || "?", at<HTMLCanvasElement>("preview"));
  at("refusal").textContent = why;
}

async function enter(room: string) {
  const url = new URL("/ws", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  at("refusal").textContent = "";
  visit = await Visit.enter(url, room, asName(), (why) => {
    visit = window.roompass = undefined;
    at<HTMLDialogElement>("sleep-dialog").close();
    for (const kind of ["video", "audio"] as const) showSwitch(kind);
    showEntrance(why);
    at("entrance-title").focus();
  });
  window.roompass = { gateway: visit.gateway, room: visit.room, mesh: visit.mesh };
  preview?.stop();
  at("entrance").hidden = true;
  at("inside").hidden = false;
  at("room-title").focus();
}

at<HTMLFormElement>("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const room = at<HTMLInputElement>("room-name").value;
  const name = asName();
  history.replaceState(null, "", `?${new URLSearchParams(name ? { room, name } : { room })}`);
  const button = at<HTMLButtonElement>("enter-button");
  button.disabled = true;
  enter(room).catch((why: Error) => {
    showState();
    at("refusal").textContent = `That didn't work: ${why.message}.`;
  })
    .finally(() => { button.disabled = false; });
});
person.addEventListener("input", () => preview?.rename(asName() || "?"));

const switches = { video: { button: "camera", on: "Turn camera on", off: "Turn camera off" }, audio: { button: "microphone", on: "Unmute", off: "Mute" } };

function showSwitch(kind: Kind) {
  const { button, on, off } = switches[kind];
  const isOn = Boolean(kind === "video" ? visit?.media.camera : visit?.media.microphone);
  at(button).querySelector("span")!.textContent = isOn ? off : on;
  at(button).classList.toggle("on", isOn);
}

for (const kind of ["video", "audio"] as const) {
  at(switches[kind].button).addEventListener("click", async () => {
    const media = visit?.media;
    if (!media) return;
    at("hardware").textContent = "";
    try {
      if (kind === "video" ? media.camera : media.microphone) media.turnOff(kind);
      else await media.turnOn(kind);
    } catch (why) {
      at("hardware").textContent = (why as Error).message;
    }
    showSwitch(kind);
  });
}
at("sound").addEventListener("click", () => {
  visit?.listen();
  at("microphone").focus();
});

at<HTMLFormElement>("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = at<HTMLInputElement>("text");
  visit?.say(input.value);
  input.value = "";
});
at("drop").addEventListener("click", () => visit?.drop());
at("sleep").addEventListener("click", () => void visit?.sleep());
at("kill").addEventListener("click", () => visit?.kill());
at("wake").addEventListener("click", () => at<HTMLDialogElement>("sleep-dialog").close());
at("leave").addEventListener("click", () => visit?.end());

const asked = new URLSearchParams(location.search);
at<HTMLInputElement>("room-name").value = asked.get("room") ?? "lobby";
person.value = asked.get("name") ?? "";
showEntrance();
if (asked.has("room") && asked.has("name")) at<HTMLFormElement>("enter").requestSubmit();
