/** A visit to a room, from entering it until you are out. */
import { connect, Gateway, Room, type RequestError, type Token } from "../client/src/client";
import { at } from "./dom";
import { Media, type Kind } from "./media";
import { Mesh } from "./mesh";
import * as news from "./news";
import { Ordeal } from "./ordeal";
import { hueOf, mayKick, nameOf, presenceOf, type Presence } from "./person";
import { Pods } from "./pods";
import { leftOf, lifeOf, Ring } from "./ring";
import { sleepThrough } from "./sleep";
import { Tiles } from "./tiles";
import { announce, clear, note, say } from "./timeline";
import { Trouble } from "./trouble";

/** Shows what a gateway's state is, or that there is none. */
export function showState(gateway?: Gateway) {
  const state = gateway?.state ?? "idle";
  at("state").dataset.state = state;
  at("state").textContent = !gateway ? "not connected" : state === "connected" && gateway.pod ? `connected to ${gateway.pod}` : state;
}

export class Visit {
  readonly tiles = new Tiles((member) => this.#kick(member));
  readonly #ring = new Ring("Your");
  readonly #pods = new Pods();
  readonly #count = { pushes: 0, lapses: 0, sockets: 1 };
  readonly #clock: ReturnType<typeof setInterval>;
  #connected = new Set<string>(); // whom the timeline says we are connected to
  #lapsed?: Token;
  #silent = false; // the browser lets nobody be heard until you press something
  #ordeal?: Ordeal;
  #over = false;

  /** Enters a room. ended is called when you are out, with a reason unless you left. */
  static async enter(url: URL, roomName: string, name: string, ended: (why: string) => void): Promise<Visit> {
    const trouble = new Trouble();
    const gateway = connect(url, { credential: name || undefined, WebSocket: trouble.WebSocket });
    gateway.addEventListener("state", () => showState(gateway));
    showState(gateway);
    const media = new Media(name || "anonymous", (kind) => visit?.shown(kind));
    let visit: Visit | undefined;
    try {
      const data: Presence = { name: name || "anonymous", hue: hueOf(name), camera: false, microphone: false };
      const room = await gateway.join(roomName, { data });
      data.hue = hueOf(name, room.members.filter(({ id }) => id !== room.member).map((member) => presenceOf(member).hue));
      media.portrait.recolour(data.hue);
      void room.update(data);
      return (visit = new Visit(gateway, room, media, trouble, data, ended));
    } catch (why) {
      media.stop();
      gateway.close();
      throw why;
    }
  }

  readonly mesh: Mesh;

  private constructor(readonly gateway: Gateway, readonly room: Room, readonly media: Media, readonly trouble: Trouble, private presence: Presence, private ended: (why: string) => void) {
    clear();
    for (const id of ["lapses", "pushes"]) at(id).textContent = "0";
    at("sockets").textContent = "1";
    at("outcome").textContent = "";
    at("own-ring").replaceChildren(this.#ring.element);
    this.mesh = new Mesh(room, media, {
      changed: (member) => this.#link(member),
      heard: (member, text) => this.#hear(member, text),
    });
    gateway.addEventListener("state", ({ state, code, reason }) => this.#state(state, code, reason));
    room.addEventListener("token", () => this.#token());
    room.addEventListener("joined", ({ member }) => this.#tell("people", `${nameOf(member)} came.`));
    room.addEventListener("updated", () => this.#people());
    room.addEventListener("left", ({ member, reason }) => this.#tell("people", `${nameOf(member)} ${{ left: "left", kicked: "was kicked", revoked: "was put out" }[reason] ?? "is gone: nothing was heard of them for too long"}.`));
    room.addEventListener("gap", () => this.#tell("trouble", "You were away for so long that you were told who is here now, and not what happened."));
    room.addEventListener("removed", ({ reason }) => this.end(reason === "kicked" ? `You were kicked out of ${room.name}.` : `You were put out of ${room.name}: ${reason}.`));
    room.addEventListener("signal", ({ from, data }) => {
      const text = (data as { chat?: unknown } | null)?.chat;
      if (typeof text === "string") say(nameOf(room.members.find(({ id }) => id === from)), text);
    });
    at("room-title").textContent = room.name;
    note("people", `You entered ${room.name}. ${room.members.length > 1 ? `${room.members.length - 1} others are here.` : "Nobody else is here yet."}`);
    this.#people();
    this.#show();
    this.#token(true);
    this.#clock = setInterval(() => this.#tick(), 250);
  }

  /** Ends the visit: the others see you leave. */
  end(why = "") {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#clock);
    this.#pods.stop();
    this.mesh.close();
    this.media.stop();
    this.gateway.close();
    this.ended(why);
  }

  /** Lets the others be heard, where the browser had something pressed first. */
  listen() {
    this.#silent = false;
    for (const tile of this.tiles.all) void tile.listen();
    this.#people();
  }

  say(text: string) {
    this.room.signal(undefined, { chat: text }).then(() => say("you", text), (why: RequestError) => note("bad", `“${text}” may not have arrived: ${why.message}.`));
  }

  /** shown is called when you show or let hear something else. */
  shown(kind: Kind) {
    if (this.#over) return;
    this.mesh.replace(kind);
    this.presence = { ...this.presence, camera: this.media.camera, microphone: this.media.microphone };
    void this.room.update(this.presence).then(() => this.#people());
    this.#people();
  }

  drop() {
    this.#ordeal = new Ordeal("drop", this.gateway.pod);
    this.gateway.drop();
  }

  kill() {
    this.#ordeal = new Ordeal("kill", this.gateway.pod);
    this.#pods.lose(this.gateway.pod);
    this.#tell("trouble", `You killed ${this.gateway.pod}.`);
    this.trouble.crash();
  }

  async sleep() {
    note("trouble", "You fell asleep: no socket, nothing from the others.");
    this.trouble.sleep();
    this.mesh.sleep();
    this.#tick();
    await sleepThrough();
    this.#ordeal = new Ordeal("sleep", this.gateway.pod);
    this.mesh.wake();
    this.trouble.wake();
  }

  #state(state: string, code = 0, reason = "") {
    this.#show();
    if (state === "closed") return this.end(`The gateway closed the connection: ${reason || code}.`);
    if (state === "connected") {
      at("sockets").textContent = String(++this.#count.sockets);
      this.#back();
    } else if (!this.trouble.asleep) {
      this.#tell("trouble", `Your socket was lost. Your token is good for ${Math.round(leftOf(this.#ring.life) / 1000)} s more.`);
    }
  }

  /** Says how it ended, when there is a socket again and on it a token that is good. */
  #back() {
    const ordeal = this.#ordeal;
    if (!ordeal || this.gateway.state !== "connected" || !leftOf(this.#life())) {
      if (!ordeal) note("good", "Back on a new socket, as the same member. Nothing was missed.");
      return;
    }
    this.#ordeal = undefined;
    const text = ordeal.words(this.gateway.pod, this.room.token!);
    note("good", text);
    at("outcome").textContent = text;
  }

  #token(first = false) {
    const left = leftOf(this.#ring.life);
    at("pushes").textContent = String(++this.#count.pushes);
    const life = this.#life()!;
    const good = `good for ${Math.round(leftOf(life) / 1000)} s`;
    if (first) note("token", `You have a token, ${good}.`);
    else if (left) note("token", `A fresh token, ${good}, came ${Math.round(left / 1000)} s before the last one runs out.`);
    else note("token", `A fresh token, ${good}.`);
    this.#tick();
    this.mesh.send(this.#ownNews());
    if (this.#ordeal?.what === "sleep") this.#back();
    this.#people(); // what one may do is in the token
  }

  /** What the newest token has; nothing while asleep, when nobody holds anything. */
  #life() { return this.room.token && !this.trouble.asleep ? lifeOf(this.room.token) : undefined; }

  #ownNews() { return news.write({ pod: this.gateway.pod, life: this.#life() }); }

  #hear(member: string, text: string) {
    const heard = news.read(text);
    if (!heard) return;
    this.tiles.get(member)?.pod(heard.pod);
    if (heard.life) this.tiles.life(member, heard.life);
  }

  #link(member: string) {
    const tile = this.tiles.get(member);
    if (!tile || this.#over) return;
    const link = this.mesh.link(member);
    tile.link(link);
    tile.show(this.mesh.stream(member), () => {
      this.#silent = true;
      this.#people();
    });
    const name = nameOf(this.room.members.find(({ id }) => id === member));
    if (link === "connected" && !this.#connected.has(member)) {
      this.#connected.add(member);
      note("link", `You and ${name} are connected, peer to peer.`);
      this.mesh.sendTo(member, this.#ownNews());
    } else if (link === "interrupted" && this.#connected.delete(member) && !this.trouble.asleep) {
      note("trouble", `${name} can't be reached just now.`);
    } else if (link === "connecting") {
      this.#connected.delete(member);
    }
  }

  #tell(kind: "people" | "trouble", text: string) {
    note(kind, text);
    announce(text);
    this.#people();
  }

  #people() {
    const { room } = this;
    this.tiles.update(room.members, room.member, mayKick(room.token));
    for (const { id } of room.members) if (id !== room.member) this.#link(id);
    const own = this.tiles.get(room.member);
    const video = this.media.track("video");
    own?.show(video ? new MediaStream([video]) : undefined);
    own?.pod(this.gateway.pod);
    at("sound").hidden = !(this.#silent && room.members.some((member) => member.id !== room.member && presenceOf(member).microphone));
    this.#tick();
  }

  #show() {
    const { state, pod } = this.gateway;
    at("kill").textContent = pod ? `Kill ${pod}` : "Kill this pod";
    this.tiles.get(this.room.member)?.pod(pod);
    if (state === "connected") {
      this.mesh.send(this.#ownNews());
      void this.#pods.look(pod);
    }
  }

  /** Draws all rings. */
  #tick() {
    const life = this.#life();
    this.#ring.life = life;
    this.tiles.life(this.room.member, life);
    this.#ring.draw();
    for (const { ring } of this.tiles.all) {
      if (this.trouble.asleep) ring.life = undefined;
      ring.draw();
    }
    if (life && !leftOf(life) && this.gateway.state === "connected" && this.#lapsed !== this.room.token) {
      this.#lapsed = this.room.token;
      at("lapses").textContent = String(++this.#count.lapses);
    }
  }

  #kick(member: string) {
    this.room.kick(member).catch((why: RequestError) => note("bad", `That kick didn't work: ${why.message}.`));
  }
}
