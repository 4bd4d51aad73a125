/**
 * The picture of somebody who shows no camera: their initial as a sun over slow waves, in their colour.
 * It is drawn here, so nothing has to be allowed and nobody is filmed.
 */
import { still } from "./dom";
import { hueOf, initialOf } from "./person";

const width = 480, height = 360;
const rate = 6; // pictures a second: each is encoded once for everybody else

export class Portrait {
  #pen: CanvasRenderingContext2D;
  #name: string;
  #hue: number;
  #timer: ReturnType<typeof setInterval>;

  constructor(name: string, readonly canvas: HTMLCanvasElement = document.createElement("canvas")) {
    canvas.width = width;
    canvas.height = height;
    this.#pen = canvas.getContext("2d", { alpha: false })!;
    this.#name = name;
    this.#hue = hueOf(name);
    this.#draw();
    // One that stands still is drawn too: who has just come needs a picture to begin with.
    this.#timer = setInterval(() => this.#draw(), still.matches ? 500 : 1000 / rate);
  }

  rename(name: string) {
    this.#name = name;
    this.recolour(hueOf(name));
  }

  recolour(hue: number) {
    this.#hue = hue;
    this.#draw();
  }

  /** The picture as others can be sent it. */
  track(): MediaStreamTrack { return this.canvas.captureStream(rate).getVideoTracks()[0]; }

  stop() { clearInterval(this.#timer); }

  #draw() {
    const pen = this.#pen, hue = this.#hue;
    const now = still.matches ? 0 : performance.now() / 1000;
    const sky = pen.createLinearGradient(0, 0, 0, height);
    sky.addColorStop(0, `hsl(${hue} 48% 30%)`);
    sky.addColorStop(0.75, `hsl(${hue + 28} 62% 58%)`);
    pen.fillStyle = sky;
    pen.fillRect(0, 0, width, height);

    const x = width / 2, y = height * 0.45 + Math.sin(now * 0.5) * 3, radius = 74;
    for (const [ring, light] of [[2.1, 0.07], [1.62, 0.09], [1.28, 0.13]]) {
      this.#disc(x, y, radius * (ring + 0.05 * Math.sin(now * 0.8 + ring)), `hsl(${hue + 50} 90% 88% / ${light})`);
    }
    this.#disc(x, y, radius, `hsl(${hue + 45} 85% 92%)`);
    pen.fillStyle = `hsl(${hue} 55% 24%)`;
    pen.font = "700 84px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(initialOf(this.#name), x, y + 5);

    for (let wave = 0; wave < 3; wave++) this.#wave(now, wave, `hsl(${hue + 14 - wave * 8} ${46 + wave * 4}% ${40 - wave * 9}% / .82)`);
  }

  #disc(x: number, y: number, radius: number, colour: string) {
    this.#pen.fillStyle = colour;
    this.#pen.beginPath();
    this.#pen.arc(x, y, radius, 0, 2 * Math.PI);
    this.#pen.fill();
  }

  #wave(now: number, wave: number, colour: string) {
    const pen = this.#pen, crest = height * (0.72 + wave * 0.085);
    pen.fillStyle = colour;
    pen.beginPath();
    pen.moveTo(0, height);
    for (let x = 0; x <= width; x += 12) {
      pen.lineTo(x, crest + Math.sin(x / (90 + wave * 26) + now * (0.35 + wave * 0.14) + wave * 2) * (11 - wave * 2));
    }
    pen.lineTo(width, height);
    pen.fill();
  }
}
