// A Janus with the plugin that naf-janus-adapter talks to, janus-plugin-sfu. Debian's janus has all but that plugin, so a
// front stands before it: sessions, handles, keepalives, candidates and the media are Janus's own, and only what is said
// to the plugin is answered here, in the plugin's words. What it relays goes by way of Janus's videoroom.
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { importSPKI, jwtVerify } from "jose";
import { WebSocket, WebSocketServer } from "ws";
import { eventually, freePort, problems, start, stop } from "./harness.mjs";

const subprotocol = "janus-protocol";
const plugin = "janus.plugin.sfu";
const nobody = "Can't subscribe to a nonexistent publisher.";
const ours = "front "; // begins the transactions that no browser asked for

/** Starts one that lets in whoever has a token that this key, a PEM, verifies. */
export async function startJanus(pem) {
  const sfu = new SFU(await importSPKI(pem, "RS512"));
  const inner = await freePort();
  const configs = configure(inner);
  let port = 0, program, server;
  /** The real one, which has the echo test and not the plugin. */
  sfu.transport = `ws://127.0.0.1:${inner}`;
  /** Starts it anew, where it was. */
  sfu.start = async () => {
    program = start("janus", ["--configs-folder", configs]);
    await eventually("Janus answers", () => open(sfu.transport).then((socket) => { socket.close(); return true; }, () => false));
    server = new WebSocketServer({ host: "127.0.0.1", port, handleProtocols: () => subprotocol });
    server.on("connection", (socket) => {
      socket.pause(); // until there is somewhere to send what it says
      open(sfu.transport).then((up) => { new Session(sfu, socket, up); socket.resume(); }, () => socket.close(1013));
    });
    await once(server, "listening");
    ({ port } = server.address());
    sfu.name = `127.0.0.1:${port}`;
    sfu.url = `ws://${sfu.name}`;
  };
  sfu.close = async (signal) => {
    for (const socket of server.clients) socket.terminate();
    server.close();
    await stop(program, signal);
  };
  await sfu.start();
  return sfu;
}

/**
 * Writes the configuration of a Janus that asks and serves nobody but this machine, and returns its folder. A transport
 * or plugin that has no file there must be disabled by name: Janus loads what is installed.
 */
function configure(port) {
  const dir = mkdtempSync(join(tmpdir(), "roompass-janus-"));
  const write = (name, text) => writeFileSync(join(dir, `${name}.jcfg`), text);
  const all = (...names) => names.map((name) => `libjanus_${name}.so`).join();
  write("janus", `
general: { debug_level = 4, debug_colors = false, interface = "127.0.0.1" }
plugins: { disable = "${all("audiobridge", "duktape", "lua", "nosip", "recordplay", "sip", "streaming", "textroom", "videocall", "voicemail")}" }
transports: { disable = "${all("http", "mqtt", "nanomsg", "pfunix", "rabbitmq")}" }
`);
  write("janus.transport.websockets", `general: { json = "compact", ws = true, ws_ip = "127.0.0.1", ws_port = ${port} }\n`);
  write("janus.plugin.echotest", "general: {}\n");
  write("janus.plugin.videoroom", `general: { string_ids = true }\nroom-sfu: { publishers = 100 }\n`);
  return dir;
}

async function open(url) {
  const socket = new WebSocket(url, subprotocol);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  return socket.on("error", () => {}); // its close says enough
}

/** The plugin: who is in which room, and what was asked of it. */
class SFU {
  /** Every join that was asked for: {room, user, media, token, at, refused}; media is whose one wants to hear. */
  joins = [];
  /** Every kick: {user, token, at, done}; at is when it came. */
  kicks = [];
  #key;
  #handles = new Set(); // those that joined

  constructor(key) { this.#key = key; }

  /** Cuts a user's socket, with a close code or, without one, as a bad network does. */
  cut(user, code) {
    const { socket } = this.publisher(user).session;
    if (code) socket.close(code);
    else socket.terminate();
  }

  publisher(user) { return [...this.#handles].find((h) => h.publishes && h.user === user); }

  /** What a token says, or undefined: RS512 only, not a second after its expiry. */
  async verify(token) {
    return (await jwtVerify(token, this.#key, { algorithms: ["RS512"], clockTolerance: 0 }).catch(() => ({}))).payload;
  }

  async join(handle, { room_id: room, user_id: user, subscribe, token }, at) {
    const entry = { room, user, media: subscribe?.media ?? null, token, at };
    const claims = await this.verify(token ?? "");
    if (token === undefined || token === null) entry.refused = "Rejecting anonymous join!";
    else if (!claims) entry.refused = "Rejecting join with invalid token!";
    else if (!claims.join_hub || !(claims.room_ids ?? [room]).includes(room)) entry.refused = "Rejecting join without permission!";
    else if (handle.user !== undefined) entry.refused = "Handles may only join once!";
    else if (entry.media !== null && !this.publisher(entry.media)) entry.refused = nobody;
    this.joins.push(entry);
    if (entry.refused) throw new Refusal(entry.refused);

    const users = [...new Set(this.#publishers(room).map((h) => h.user))];
    Object.assign(handle, { room, user, publishes: subscribe?.data === true });
    this.#handles.add(handle);
    if (handle.publishes) this.tell(room, user, { event: "join", user_id: user, room_id: room });
    const response = { users: { [room]: users } };
    if (entry.media === null) return { response };
    try {
      return { response, jsep: await handle.subscribe(this.publisher(entry.media)) };
    } catch (why) {
      // Janus knew before us that the publisher's session is over.
      if (/: No such feed/.test(why.message)) throw new Refusal(nobody);
      throw why;
    }
  }

  /** Ends a user's handles; whoever asks is told of success, whether it was done or not. */
  async kick({ user_id: user, token }, at) {
    const done = (await this.verify(token ?? ""))?.kick_users === true;
    this.kicks.push({ user, token, at, done });
    if (done) for (const handle of [...this.#handles].filter((h) => h.user === user)) handle.end();
  }

  leave(handle) {
    if (!this.#handles.delete(handle)) return;
    handle.silence();
    const { room, user } = handle;
    if (![...this.#handles].some((h) => h.user === user)) this.tell(room, user, { event: "leave", user_id: user, room_id: room });
  }

  /** Tells the others in a room, or one of them only. */
  tell(room, from, event, to) {
    for (const handle of this.#publishers(room)) {
      if (to === undefined || to === null ? handle.user !== from : handle.user === to) handle.event(event);
    }
  }

  #publishers(room) { return [...this.#handles].filter((h) => h.publishes && h.room === room); }
}

class Refusal extends Error {}

/** One socket of a browser, and the one to Janus that is its own. */
class Session {
  #sfu;
  #up;
  #handles = new Map(); // by id
  #attaching = new Set(); // transactions
  #asked = new Map(); // our own transactions
  #count = 0;

  constructor(sfu, socket, up) {
    this.#sfu = sfu;
    this.socket = socket;
    this.#up = up;
    socket.on("message", (text) => this.#request(JSON.parse(text)));
    up.on("message", (text) => this.#answer(JSON.parse(text)));
    socket.on("error", () => {});
    socket.on("close", () => {
      up.close();
      for (const handle of this.#handles.values()) sfu.leave(handle);
    });
    up.on("close", () => socket.close(1011));
  }

  send(message) { this.socket.send(JSON.stringify(message)); }

  #request(message) {
    const handle = this.#handles.get(message.handle_id);
    if (message.janus === "message" && handle) {
      this.send({ janus: "ack", session_id: message.session_id, transaction: message.transaction });
      handle.hear(message);
      return;
    }
    if (message.janus === "attach" && message.plugin === plugin) {
      this.#attaching.add(message.transaction);
      message.plugin = "janus.plugin.videoroom";
    }
    this.#up.send(JSON.stringify(message));
  }

  #answer(message) {
    const asked = this.#asked.get(message.transaction);
    if (asked && message.janus !== "ack") {
      this.#asked.delete(message.transaction);
      asked(message);
      return;
    }
    if (message.janus === "event" || message.transaction?.startsWith(ours)) return; // the videoroom's news, and late acks
    if (this.#attaching.delete(message.transaction) && message.janus === "success") {
      this.#handles.set(message.data.id, new Handle(this.#sfu, this, message.session_id, message.data.id));
    }
    if (message.janus === "detached") {
      this.#sfu.leave(this.#handles.get(message.sender));
      this.#handles.delete(message.sender);
    }
    this.send(message);
  }

  /** Asks Janus for something of ours, of which the browser hears nothing. */
  ask(message) {
    const transaction = ours + ++this.#count;
    this.#up.send(JSON.stringify({ ...message, transaction }));
    return new Promise((resolve) => this.#asked.set(transaction, resolve));
  }
}

/** What a browser attached: a place in a room, or an ear for somebody there. */
class Handle {
  #sfu;
  #ids;
  #turn = Promise.resolve(); // what is said to a handle is done in order
  #published = false;
  #audible;
  #hasAudio;

  constructor(sfu, session, session_id, handle_id) {
    this.#sfu = sfu;
    this.session = session;
    this.#ids = { session_id, handle_id };
    this.#audible = new Promise((resolve) => (this.#hasAudio = resolve));
  }

  hear({ transaction, body, jsep }) {
    const at = Date.now();
    this.#turn = this.#turn.then(() => this.#reply(body, jsep, at)).then(
      ({ jsep: answer, ...data } = {}) => this.event({ success: true, ...data }, transaction, answer),
      (why) => {
        if (!(why instanceof Refusal)) problems.push(`the test's Janus: ${why.stack}`);
        this.event({ success: false, error: { msg: why.message } }, transaction);
      });
  }

  event(data, transaction, jsep) {
    const { session_id, handle_id } = this.#ids;
    this.session.send({ janus: "event", session_id, transaction, sender: handle_id, plugindata: { plugin, data }, jsep });
  }

  /** Ends it as the plugin may: the browser is told that it is detached. */
  end() { void this.session.ask({ janus: "detach", ...this.#ids }); }

  async #reply(body, jsep, at) {
    switch (body.kind) {
      case "join":
        return this.#sfu.join(this, body, at);
      case "kick":
        await this.#sfu.kick(body, at);
        return { response: {} };
      case "data":
        this.#sfu.tell(this.room, this.user, { event: "data", body: body.body }, body.whom);
        return { response: {} };
      case "block":
      case "unblock":
        this.#sfu.tell(this.room, this.user, { event: `${body.kind}ed`, by: this.user }, body.whom);
        return { response: {} };
    }
    if (jsep?.type === "offer") return { jsep: await this.#publish(jsep) };
    if (jsep?.type === "answer") await this.#ask({ request: "start" }, jsep);
    return {};
  }

  async #publish(offer) {
    const request = this.#published ? { request: "configure" }
      : { request: "joinandconfigure", ptype: "publisher", room: "sfu", id: this.#feed };
    this.#published = true;
    const { jsep } = await this.#ask(request, offer);
    if (/^m=audio/m.test(offer.sdp)) this.#hasAudio();
    return jsep;
  }

  /**
   * Offers what a publisher sends. The plugin always offers audio, even where there is none yet, and the videoroom only
   * what there is; so here one waits for a microphone, which the adapter adds at about the time of its join.
   */
  async subscribe(publisher) {
    await publisher.#audible;
    return (await this.#ask({ request: "join", ptype: "subscriber", room: "sfu", streams: [{ feed: publisher.#feed }] })).jsep;
  }

  /** Nobody waits any more for this one's microphone. */
  silence() { this.#hasAudio(); }

  get #feed() { return String(this.#ids.handle_id); }

  async #ask(body, jsep) {
    const answer = await this.session.ask({ janus: "message", ...this.#ids, body, jsep });
    const why = answer.error?.reason ?? answer.plugindata?.data.error;
    if (why) throw new Error(`${body.request}: ${why}`);
    return answer;
  }
}
