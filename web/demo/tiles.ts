/** A tile for everybody in the room: their picture, their name, how they are connected, and what is left of their token. */
import type { Member } from "../client/src/client";
import { at, make, still } from "./dom";
import type { Link } from "./mesh";
import { initialOf, presenceOf } from "./person";
import { Ring, type Life } from "./ring";

const links: Record<Link, string> = { connecting: "connecting…", connected: "peer to peer", interrupted: "out of reach" };

export class Tile {
  readonly element = make("li", { className: "tile" });
  readonly ring: Ring;
  #initial = make("span", { className: "initial", ariaHidden: "true" });
  #video = make("video", { autoplay: true, playsInline: true, muted: true });
  #audio = make("audio", { autoplay: true });
  #who = make("span", { className: "who" });
  #microphone = make("span", { className: "chip microphone", textContent: "mic on", hidden: true });
  #pod = make("span", { className: "pod" });
  #link = make("span", { className: "chip link" });
  #kick = make("button", { className: "kick", type: "button", textContent: "Kick", hidden: true });
  #drawn = true;

  constructor(readonly own: boolean, name: string, kick: () => void) {
    this.ring = new Ring(own ? "Your" : `${name}'s`);
    this.#kick.onclick = kick;
    this.#link.hidden = own;
    this.element.append(this.#initial, this.#video, this.#audio,
      make("div", { className: "top" }, this.#link, this.#microphone, this.#kick),
      make("div", { className: "plate" }, this.ring.element, make("div", {}, this.#who, this.#pod)));
    // Whoever wants nothing to move sees a drawn portrait as a picture. What people film of themselves goes on.
    this.#video.onplaying = () => this.#settle();
  }

  /** Shows what is known of the member. */
  update(member: Member, mayKick: boolean) {
    const { name, hue, camera, microphone } = presenceOf(member);
    this.element.style.setProperty("--hue", String(hue));
    this.#initial.textContent = initialOf(name);
    this.#who.textContent = this.own ? `${name} (you)` : name;
    this.#video.ariaLabel = `${this.own ? "Your" : `${name}'s`} ${camera ? "camera" : "portrait"}`;
    this.element.classList.toggle("mirrored", this.own && camera);
    this.#microphone.hidden = !microphone;
    this.#kick.hidden = this.own || !mayKick;
    this.#kick.ariaLabel = `Kick ${name}`;
    this.#drawn = !camera;
    this.#settle();
  }

  /** Shows a stream. refused is called where the browser keeps its sound until somebody presses something. */
  show(stream: MediaStream | undefined, refused: () => void = () => {}) {
    const tracks = stream?.getTracks() ?? [];
    const showing = this.#video.srcObject as MediaStream | null;
    if (tracks.length === (showing?.getTracks().length ?? 0) && tracks.every((track) => showing!.getTrackById(track.id))) return;
    this.#video.srcObject = stream ? new MediaStream(tracks) : null;
    if (this.own) return;
    this.#audio.srcObject = stream ? new MediaStream(stream.getAudioTracks()) : null;
    if (stream) this.listen().catch(refused);
  }

  async listen() { if (this.#audio.srcObject) await this.#audio.play(); }

  link(link: Link) {
    this.element.dataset.link = link;
    this.#link.textContent = links[link];
  }

  pod(name: string) { this.#pod.textContent = name && `on ${name}`; }

  #settle() {
    if (still.matches && this.#drawn) this.#video.pause();
    else if (this.#video.paused && this.#video.srcObject) void this.#video.play().catch(() => {});
  }
}

export class Tiles {
  #tiles = new Map<string, Tile>();
  #own = "";

  constructor(readonly kick: (member: string) => void) { at("members").replaceChildren(); }

  get(member: string): Tile | undefined { return this.#tiles.get(member); }
  get all(): Tile[] { return [...this.#tiles.values()]; }

  /** Shows these members, yourself first, each on a tile that stays the same for as long as they do. */
  update(members: Member[], own: string, mayKick: boolean) {
    if (own !== this.#own) for (const id of [...this.#tiles.keys()]) this.#remove(id);
    this.#own = own;
    for (const id of [...this.#tiles.keys()]) if (!members.some((member) => member.id === id)) this.#remove(id);
    const list = at("members");
    for (const member of [...members].sort((a, b) => Number(b.id === own) - Number(a.id === own))) {
      let tile = this.#tiles.get(member.id);
      if (!tile) {
        tile = new Tile(member.id === own, presenceOf(member).name, () => this.kick(member.id));
        this.#tiles.set(member.id, tile);
        list.append(tile.element);
      }
      tile.update(member, mayKick);
    }
    list.dataset.count = String(Math.min(members.length, 10));
    at("count").textContent = members.length === 1 ? "you alone" : `${members.length} people`;
  }

  /** Shows how long a member's token is good for. */
  life(member: string, life?: Life) {
    const ring = this.#tiles.get(member)?.ring;
    if (!ring) return;
    ring.life = life;
    ring.draw();
  }

  #remove(id: string) {
    const { element } = this.#tiles.get(id)!;
    if (element.contains(document.activeElement)) at("room-title").focus();
    element.remove();
    this.#tiles.delete(id);
  }
}
