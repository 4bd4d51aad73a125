// A gateway that is played by the test: the socket, and what comes by it.

/** A WebSocket whose other end is the test. */
export class FakeSocket {
  static all = [];
  readyState = 0;
  sent = [];
  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
  }
  open() { this.readyState = 1; this.onopen(); }
  send(text) { this.sent.push(JSON.parse(text)); }
  bring(message) { this.onmessage({ data: JSON.stringify(message) }); }
  close(code = 1005) { this.lost(code); }
  lost(code = 1006, reason = "") {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.closedWith = code;
    this.onclose({ code, reason });
  }
  /** The last request of a type. */
  last(type) { return this.sent.findLast((m) => m.type === type); }
}

const limits = { messages_per_second: 30, burst: 60 };
export const welcome = (more = {}) => ({ type: "welcome", session: "S", secret: "X", user: "ann", resumed: false, rooms: [], limits, ...more });
export const member = (id, data = null) => ({ id, user: id, data, joined_at: 1 });
export const token = (n) => ({ token: `jwt${n}`, expires_at: 300_000 + n, issued_at: n, expires_in: 300_000 });
export const settle = async () => { for (let i = 0; i < 20; i++) await Promise.resolve(); };
export const newest = () => FakeSocket.all.at(-1);
