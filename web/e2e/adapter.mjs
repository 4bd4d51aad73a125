// naf-janus-adapter as npm has it, in a page of its own, driven as networked-aframe does.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { inRoom, watch } from "./harness.mjs";

/** Bundles the package's main file, as an app's bundler does, and returns where that is. */
export function bundleAdapter(dir) {
  const file = join(dir, "naf-janus-adapter.js");
  execFileSync("go", ["tool", "esbuild", join(import.meta.dirname, "node_modules/naf-janus-adapter/src/index.js"),
    "--bundle", "--format=iife", "--log-level=warning", `--outfile=${file}`], { cwd: import.meta.dirname });
  return file;
}

/**
 * Opens a page that has the adapter, and nothing else: the gateway's client.js as one sees it in a tab. It has to be one
 * that comes from this machine, or Chromium wouldn't let it open sockets to it.
 */
export async function openPage(browser, base, { name, file, quiet }) {
  const page = await (await browser.newContext()).newPage();
  watch(page, name, quiet);
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  await page.addInitScript(() => {
    window.NAF = { adapters: { IS_CONNECTED: "IS_CONNECTED", NOT_CONNECTED: "NOT_CONNECTED", register(name, adapter) { this[name] = adapter; } } };
  });
  await page.addInitScript({ path: file });
  await page.addInitScript(() => {
    window.makeAdapter = async ({ id, url, room }) => {
      const adapter = new NAF.adapters.janus();
      adapter.setClientId(id);
      adapter.setPeerConnectionConfig({ iceServers: [] });
      const audio = new AudioContext();
      const [tone, microphone] = [audio.createOscillator(), audio.createMediaStreamDestination()];
      tone.connect(microphone);
      tone.start();
      await adapter.setLocalMediaStream(microphone.stream);
      adapter.reliableTransport = "websocket";

      adapter.setServerUrl(url);
      adapter.setApp("test");
      adapter.setRoom(room);
      adapter.setWebRtcOptions({ audio: true, video: false, datachannel: true });
      adapter.setServerConnectListeners(() => {}, (why) => console.error(why));
      adapter.setDataChannelListeners(() => {}, () => {}, () => {});
      adapter.setRoomOccupantListener(() => {});
      adapter.setReconnectionListeners(() => {}, () => {}, (why) => console.error(why));
      return adapter;
    };
  });
  await page.goto(`${base}/client.js`);
  return page;
}

/** Whether the page's adapter has an occupant whose audio comes in. */
export const hears = (page, id) => inRoom(page, async (id) => {
  const conn = window.me.adapter.occupants[id]?.conn;
  if (!conn) return false;
  let packets = 0;
  for (const report of (await conn.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "audio") packets += report.packetsReceived;
  }
  const more = packets > conn.packets; // than when it was last looked at
  conn.packets = packets;
  return more;
}, id);
