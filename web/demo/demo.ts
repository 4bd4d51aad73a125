/** The demo: one room, who is there, what they say, and the token as a ring that fills again with each push. */
import { connect, Gateway, Room, RequestError, type JSONValue, type Member } from "../client/src/client";
import { Mesh } from "./mesh";

declare global { interface Window { roompass?: { gateway: Gateway; room: Room; mesh: Mesh } } }

const at = <E extends Element = HTMLElement>(id: string) => document.getElementById(id) as unknown as E;
const nameOf = (member?: Member) => {
  const name = (member?.data as { name?: JSONValue } | null)?.name ?? member?.user;
  return typeof name === "string" && name ? name : "somebody";
};

function note(text: string, kind = "") {
  const line = document.createElement("li");
  line.className = kind;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString([], { hour12: false });
  line.append(time, text);
  at("timeline").prepend(line);
  while (at("timeline").childElementCount > 200) at("timeline").lastElementChild!.remove();
}

function say(who: string, text: string) {
  const line = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = who;
  line.append(name, text);
  at("messages").append(line);
  line.scrollIntoView({ block: "nearest" });
}

function show(inside: boolean) {
  at("entrance").hidden = inside;
  at("inside").hidden = !inside;
}

async function enter(roomName: string, name: string) {
  const url = new URL("/ws", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const gateway = connect(url, { credential: name || undefined });
  let sockets = 0;
  gateway.addEventListener("state", ({ state, code, reason }) => {
    at("state").textContent = state;
    at("state").dataset.state = state;
    if (state === "connected") at("sockets").textContent = String(++sockets);
    if (state === "reconnecting") note(`the socket was lost (${code}); coming back`, "warn");
    if (state === "connected" && sockets > 1) note("back on a new socket, nothing missed");
    if (state === "closed") {
      note(`closed: ${code} ${reason ?? ""}`, "bad");
      at("refusal").textContent = code === 1000 ? "" : `The gateway closed the connection: ${reason || code}.`;
      show(false);
    }
  });
  const room = await gateway.join(roomName, { data: { name: name || "anonymous" } });
  const mesh = new Mesh(room, (text) => note(text), () => people(room, mesh));
  window.roompass = { gateway, room, mesh };
  at("room-title").textContent = room.name;
  show(true);
  note(`you entered ${room.name} with ${room.members.length - 1} others there`);

  let pushes = 0;
  room.addEventListener("token", ({ expiresIn }) => {
    at("pushes").textContent = String(++pushes);
    note(`a fresh token, good for ${Math.round(expiresIn / 1000)} s`, "token");
  });
  room.addEventListener("joined", ({ member }) => { note(`${nameOf(member)} came`); people(room, mesh); });
  room.addEventListener("updated", () => people(room, mesh));
  room.addEventListener("left", ({ member, reason }) => { note(`${nameOf(member)} is gone: ${reason}`); people(room, mesh); });
  room.addEventListener("gap", () => { note("away for long: the state came anew", "warn"); people(room, mesh); });
  room.addEventListener("removed", ({ reason }) => { note(`you were removed: ${reason}`, "bad"); at("refusal").textContent = `You were removed from the room: ${reason}.`; gateway.close(); });
  room.addEventListener("signal", ({ from, data }) => {
    const text = (data as { chat?: JSONValue } | null)?.chat;
    if (typeof text === "string") say(nameOf(room.members.find(({ id }) => id === from)), text);
  });
  people(room, mesh);
  draw(room);
}

/** Draws the ring. It looks at the token for show only: nothing is fetched by it. */
function draw(room: Room) {
  let expired = 0;
  let was = room.token;
  const frame = () => {
    if (window.roompass?.room !== room) return;
    const token = room.token!;
    const left = token.expiresIn - (performance.now() - token.receivedAt);
    const life = token.expiresAt - token.issuedAt;
    const part = Math.max(0, Math.min(1, left / life));
    const arc = at<SVGCircleElement>("arc");
    arc.style.strokeDashoffset = String(1 - part);
    arc.classList.toggle("low", part < 0.12);
    arc.classList.toggle("none", left <= 0);
    at("left").textContent = String(Math.max(0, Math.ceil(left / 1000)));
    if (left <= 0 && was !== token) { expired++; was = token; }
    at("expired").textContent = String(expired);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

function people(room: Room, mesh: Mesh) {
  const mayKick = room.members.find(({ id }) => id === room.member)?.user !== null;
  at("count").textContent = String(room.members.length);
  at("members").replaceChildren(...room.members.map((member) => {
    const line = document.createElement("li");
    const face = document.createElement("span");
    face.className = "face";
    face.textContent = nameOf(member).slice(0, 1).toUpperCase();
    face.ariaHidden = "true";
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = nameOf(member) + (member.id === room.member ? " (you)" : "");
    line.append(face, who);
    if (member.id === room.member) return line;
    if (mesh.isOpen(member.id)) {
      const badge = document.createElement("span");
      badge.className = "badge";
      badge.textContent = "p2p open";
      line.append(badge);
    }
    if (mayKick) {
      const kick = document.createElement("button");
      kick.className = "small";
      kick.type = "button";
      kick.textContent = "Kick";
      kick.ariaLabel = `Kick ${nameOf(member)}`;
      kick.onclick = () => room.kick(member.id).catch((why: RequestError) => note(why.message, "bad"));
      line.append(kick);
    }
    return line;
  }));
}

at<HTMLFormElement>("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  at("refusal").textContent = "";
  const form = new FormData(event.target as HTMLFormElement);
  const room = String(form.get("room"));
  const name = String(form.get("name")).trim();
  history.replaceState(null, "", `?${new URLSearchParams(name ? { room, name } : { room })}`);
  enter(room, name).catch((why: Error) => { at("refusal").textContent = `That didn't work: ${why.message}.`; });
});
at<HTMLFormElement>("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = at<HTMLInputElement>("text");
  const text = input.value;
  input.value = "";
  window.roompass?.room.signal(undefined, { chat: text }).then(() => say("you", text), (why: RequestError) => note(why.message, "bad"));
});
at("drop").addEventListener("click", () => window.roompass?.gateway.drop());
at("leave").addEventListener("click", () => { window.roompass?.gateway.close(); window.roompass = undefined; });

const asked = new URLSearchParams(location.search);
at<HTMLInputElement>("room-name").value = asked.get("room") ?? "lobby";
at<HTMLInputElement>("person").value = asked.get("name") ?? "";
if (asked.has("room") && asked.has("name")) at<HTMLFormElement>("enter").requestSubmit();
