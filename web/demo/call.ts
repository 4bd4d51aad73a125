/**
 * A call is one peer connection to one other member, with what both show, and a data channel. It is set up once,
 * by one offer and one answer that have all the addresses in them: what is shown later changes by replaceTrack,
 * so nothing is negotiated again. Where it breaks, the mesh makes another.
 */
import type { Kind, Media } from "./media";

export class Call {
  #connection = new RTCPeerConnection();
  #channel: RTCDataChannel;
  /** What the other one shows and lets hear. */
  readonly stream = new MediaStream();
  /** The offer, once it is made. */
  offered = "";
  answered = false;

  /** changed is called when the call's state is another; heard, with each text from the channel. */
  constructor(readonly id: string, readonly media: Media, changed: () => void, heard: (text: string) => void) {
    // Both sides open channel 1, so neither has to wait for the other's.
    this.#channel = this.#connection.createDataChannel("room", { negotiated: true, id: 1 });
    this.#channel.onopen = this.#channel.onclose = changed;
    this.#channel.onmessage = ({ data }) => heard(String(data));
    this.#connection.onconnectionstatechange = changed;
    this.#connection.ontrack = ({ track }) => {
      this.stream.addTrack(track);
      changed();
    };
  }

  get open(): boolean { return this.#channel.readyState === "open"; }
  get failed(): boolean { return this.#connection.connectionState === "failed"; }
  /** It was there, and isn't just now. */
  get broken(): boolean { return this.failed || this.#connection.connectionState === "disconnected" || this.#channel.readyState === "closed"; }

  send(text: string) { if (this.open) this.#channel.send(text); }

  /** Makes the offer. */
  async offer(): Promise<string> {
    for (const kind of ["audio", "video"] as const) {
      const { sender } = this.#connection.addTransceiver(kind, { direction: "sendrecv" });
      await sender.replaceTrack(this.media.track(kind));
    }
    return (this.offered = await this.#describe());
  }

  /** Makes the answer to an offer. */
  async answer(offer: string): Promise<string> {
    await this.#connection.setRemoteDescription({ type: "offer", sdp: offer });
    for (const transceiver of this.#connection.getTransceivers()) {
      transceiver.direction = "sendrecv";
      await transceiver.sender.replaceTrack(this.media.track(transceiver.receiver.track.kind as Kind));
    }
    return this.#describe();
  }

  /** Takes the answer; the second time it is nothing new. */
  async take(answer: string) {
    if (this.answered) return;
    this.answered = true;
    await this.#connection.setRemoteDescription({ type: "answer", sdp: answer });
  }

  /** Shows what the media show by now. */
  async replace(kind: Kind) {
    const transceiver = this.#connection.getTransceivers().find(({ receiver }) => receiver.track.kind === kind);
    await transceiver?.sender.replaceTrack(this.media.track(kind));
  }

  close() {
    this.#channel.onopen = this.#channel.onclose = this.#channel.onmessage = null;
    this.#connection.onconnectionstatechange = this.#connection.ontrack = null;
    this.#connection.close();
  }

  /** The local description, once it has the addresses. There are only this machine's, so they are found soon. */
  async #describe(): Promise<string> {
    const connection = this.#connection;
    await connection.setLocalDescription();
    await new Promise<void>((resolve) => {
      const look = () => { if (connection.iceGatheringState === "complete") resolve(); };
      connection.addEventListener("icegatheringstatechange", look);
      look();
      setTimeout(resolve, 900); // an interface may be slow; the others will do
    });
    return connection.localDescription!.sdp;
  }
}
