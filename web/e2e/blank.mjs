// What runs in a page that has nothing but the built client: each of these functions is given to a page.

/** Before anything else: clocks that can be wrong, and every socket with all that passes on it. */
export const observe = ({ ahead = 0 }) => {
  const { now } = Date, { performance } = window, monotonic = performance.now.bind(performance);
  const PlainDate = Date, PlainSocket = WebSocket;
  window.trueNow = () => now.call(PlainDate);
  window.ahead = ahead; // ms that the page's clock is ahead of the truth
  window.slept = 0; // ms by which it leapt, and performance.now() with it
  const wrongNow = () => window.trueNow() + window.ahead + window.slept;
  window.Date = class extends PlainDate {
    constructor(...given) { super(...(given.length ? given : [wrongNow()])); }
    static now() { return wrongNow(); }
  };
  performance.now = () => monotonic() + window.slept;

  const setTimeout = window.setTimeout.bind(window);
  window.still = false; // no timer that is armed while it is true ever runs: what happens is owed to an event
  window.setTimeout = (...given) => window.still ? 0 : setTimeout(...given);

  window.sockets = []; // each with its frames, in order: what the page sent has by: "page"
  window.story = []; // of the sockets: what happened to which, and how many were open just after
  const open = () => window.sockets.filter(({ readyState }) => readyState === PlainSocket.OPEN).length;
  window.WebSocket = class extends PlainSocket {
    constructor(...given) {
      super(...given);
      this.frames = [];
      const n = window.sockets.push(this) - 1;
      this.addEventListener("message", ({ data }) => this.frames.push({ by: "gateway", ...JSON.parse(data) }));
      this.addEventListener("open", () => window.story.push({ n, what: "open", open: open() }));
      this.addEventListener("close", ({ code }) => window.story.push({ n, what: "close", code, open: open() }));
    }
    send(text) {
      this.frames.push({ by: "page", ...JSON.parse(text) });
      super.send(text);
    }
  };

  window.lifecycle = [];
  for (const type of ["freeze", "resume", "visibilitychange"]) {
    document.addEventListener(type, () => window.lifecycle.push(type === "visibilitychange" ? document.visibilityState : type));
  }
  for (const type of ["online", "offline"]) window.addEventListener(type, () => window.lifecycle.push(type));
  for (const type of ["pagehide", "pageshow"]) window.addEventListener(type, ({ persisted }) => window.lifecycle.push(`${type} ${persisted ? "kept" : "new"}`));
};

/** Enters a room, and notes what it sees and hears there. */
export const enter = async ({ room: name, user }) => {
  const { connect } = await import("/client.js");
  const gateway = window.gateway = connect(`ws://${location.host}/ws`, { credential: user });
  window.states = [gateway.state];
  gateway.addEventListener("state", ({ state }) => window.states.push(state));
  const room = window.room = await gateway.join(name);
  window.seen = [];
  window.heard = [];
  for (const type of ["joined", "left", "gap", "removed"]) {
    room.addEventListener(type, ({ member, reason }) => window.seen.push([type, member?.user, reason].filter(Boolean).join(" ")));
  }
  room.addEventListener("signal", ({ data }) => { if (data.n !== undefined) window.heard.push(data.n); });
};

/** Two timers that want to run every 50 ms, one by itself and one that arms its successor, and when they did. */
export const tick = () => {
  window.ticks = { interval: [], chain: [] };
  setInterval(() => window.ticks.interval.push(window.trueNow()), 50);
  const chain = () => {
    window.ticks.chain.push(window.trueNow());
    setTimeout(chain, 50);
  };
  chain();
};

/** Calls, or is called by, the one other member, by a data channel on which both count aloud. */
export const call = async (calls) => {
  const { room } = window;
  const other = room.members.find(({ id }) => id !== room.member).id;
  const peer = new RTCPeerConnection();
  const c = window.call = { states: [], said: 0, heard: [], on: true };
  peer.addEventListener("connectionstatechange", () => c.states.push(peer.connectionState));
  const channel = peer.createDataChannel("count", { negotiated: true, id: 0 });
  channel.addEventListener("message", ({ data }) => c.heard.push(Number(data)));
  channel.addEventListener("open", () => {
    const count = setInterval(() => {
      if (c.on) channel.send(String(c.said++));
      else clearInterval(count);
    }, 20);
  });
  peer.addEventListener("icecandidate", ({ candidate }) => { if (candidate) room.signal(other, { candidate: candidate.toJSON() }); });
  const describe = async () => {
    await peer.setLocalDescription();
    room.signal(other, { description: peer.localDescription.toJSON() });
  };
  let before = Promise.resolve(); // signals are dealt with one after the other
  room.addEventListener("signal", ({ data: { description, candidate } }) => {
    before = before.then(async () => {
      if (description) await peer.setRemoteDescription(description);
      if (description?.type === "offer") await describe();
      if (candidate) await peer.addIceCandidate(candidate);
    });
  });
  if (calls) await describe();
};
