/** What you show and let hear: the drawn portrait until you turn the camera on, and a microphone that is off at first. */
import { Portrait } from "./portrait";

export type Kind = "video" | "audio";
const device = { video: "camera", audio: "microphone" } as const;

export class Media {
  readonly portrait: Portrait;
  #drawn: MediaStreamTrack;
  #own: Record<Kind, MediaStreamTrack | null> = { video: null, audio: null }; // of the camera and of the microphone

  /** changed is called when what is shown or heard is another track. */
  constructor(name: string, readonly changed: (kind: Kind) => void) {
    this.portrait = new Portrait(name);
    this.#drawn = this.portrait.track();
  }

  get camera(): boolean { return this.#own.video !== null; }
  get microphone(): boolean { return this.#own.audio !== null; }

  /** What others are sent; null is nothing. */
  track(kind: Kind): MediaStreamTrack | null { return this.#own[kind] ?? (kind === "video" ? this.#drawn : null); }

  /** Turns the camera or the microphone on. An error says in words why it stays off. */
  async turnOn(kind: Kind) {
    if (this.#own[kind]) return;
    let stream: MediaStream;
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
      stream = await navigator.mediaDevices.getUserMedia(kind === "video" ? { video: { width: 640, height: 480, frameRate: 15 } } : { audio: true });
    } catch (why) {
      throw new Error(`The ${device[kind]} stays off: ${inWords(why as DOMException)}.`);
    }
    const [track] = stream.getTracks();
    this.#own[kind] = track;
    track.onended = () => this.turnOff(kind); // pulled out, or not allowed any more
    this.changed(kind);
  }

  turnOff(kind: Kind) {
    this.#own[kind]?.stop();
    this.#own[kind] = null;
    this.changed(kind);
  }

  /** Ends everything. */
  stop() {
    for (const track of [this.#own.video, this.#own.audio, this.#drawn]) track?.stop();
    this.portrait.stop();
  }
}

function inWords({ name, message }: DOMException): string {
  switch (name) {
    case "NotAllowedError": return "this page may not use it. Your browser has the permission by the address";
    case "NotFoundError": return "this machine has none";
    case "NotReadableError": return "another program has it";
    case "SecurityError": return "browsers give it to pages over https and to those of this machine only";
    default: return message || name;
  }
}
