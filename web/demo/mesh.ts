/** A data channel to every other member, set up through the room's signals. Of two members the one with the smaller id offers, so that no two offers cross. */
import type { JSONValue, Room } from "../client/src/client";

interface Peer { connection: RTCPeerConnection; channel: RTCDataChannel }

export class Mesh {
  #peers = new Map<string, Peer>();
  /** What came over the channels, newest last. */
  readonly received: { from: string; text: string }[] = [];

  constructor(readonly room: Room, readonly log: (text: string) => void, readonly changed: () => void) {
    room.addEventListener("joined", ({ member }) => { this.#peer(member.id); });
    room.addEventListener("left", ({ member }) => this.#close(member.id));
    room.addEventListener("removed", () => { for (const id of this.#peers.keys()) this.#close(id); });
    room.addEventListener("signal", ({ from, data }) => {
      const rtc = (data as { rtc?: { description?: RTCSessionDescriptionInit; candidate?: RTCIceCandidateInit } } | null)?.rtc;
      if (rtc) void this.#take(from, rtc).catch((why: Error) => this.log(`peer to peer: ${why.message}`));
    });
    for (const { id } of room.members) this.#peer(id);
  }

  isOpen(member: string): boolean { return this.#peers.get(member)?.channel.readyState === "open"; }

  /** send says something to everybody whom a channel is open to. */
  send(text: string): void {
    for (const { channel } of this.#peers.values()) if (channel.readyState === "open") channel.send(text);
  }

  #peer(id: string): Peer | undefined {
    if (id === this.room.member) return;
    const known = this.#peers.get(id);
    if (known) return known;
    const connection = new RTCPeerConnection();
    // Both sides open channel 1, so neither has to wait for the other's.
    const channel = connection.createDataChannel("room", { negotiated: true, id: 1 });
    const peer: Peer = { connection, channel };
    this.#peers.set(id, peer);
    const send = (rtc: object) => void this.room.signal(id, { rtc } as unknown as JSONValue).catch(() => {});
    if (this.room.member < id) {
      connection.onnegotiationneeded = async () => {
        await connection.setLocalDescription();
        send({ description: connection.localDescription!.toJSON() });
      };
      connection.onconnectionstatechange = () => { if (connection.connectionState === "failed") connection.restartIce(); };
    }
    connection.onicecandidate = ({ candidate }) => { if (candidate) send({ candidate: candidate.toJSON() }); };
    channel.onopen = () => { this.log("a data channel is open, peer to peer"); this.changed(); };
    channel.onclose = () => this.changed();
    channel.onmessage = ({ data }) => this.received.push({ from: id, text: String(data) });
    return peer;
  }

  async #take(from: string, { description, candidate }: { description?: RTCSessionDescriptionInit; candidate?: RTCIceCandidateInit }) {
    const peer = this.#peer(from);
    if (!peer) return;
    const { connection } = peer;
    if (description) {
      await connection.setRemoteDescription(description);
      if (description.type === "offer") {
        await connection.setLocalDescription();
        await this.room.signal(from, { rtc: { description: connection.localDescription!.toJSON() } } as unknown as JSONValue);
      }
    } else if (candidate) {
      await connection.addIceCandidate(candidate);
    }
  }

  #close(id: string) {
    this.#peers.get(id)?.connection.close();
    this.#peers.delete(id);
    this.changed();
  }
}
