import { describe, expect, it } from "vitest";

import { provenanceOf } from "./provenance";

const made = { job: "sd.txt2img", inputs: { prompt: "ein Café" }, params: { seed: 7 } };

function png(kind: string, body: Uint8Array): ArrayBuffer {
  const chunk = (name: string, data: Uint8Array) => {
    const view = new DataView(new ArrayBuffer(12 + data.length));
    view.setUint32(0, data.length);
    Array.from(name).forEach((letter, at) => view.setUint8(4 + at, letter.charCodeAt(0)));
    new Uint8Array(view.buffer, 8).set(data);
    return new Uint8Array(view.buffer);
  };
  const signature = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const all = [
    signature,
    chunk("IHDR", new Uint8Array(13)),
    chunk(kind, body),
    chunk("IEND", new Uint8Array()),
  ];
  return new Uint8Array(all.flatMap((part) => [...part])).buffer;
}

const utf8 = (text: string) => new TextEncoder().encode(text);

describe("provenanceOf", () => {
  it("reads plain and international text", () => {
    const plain = { ...made, inputs: { prompt: "cafe" } };
    expect(provenanceOf(png("tEXt", utf8(`stable-core\0${JSON.stringify(plain)}`)))).toEqual(plain);
    expect(provenanceOf(png("iTXt", utf8(`stable-core\0\0\0\0\0${JSON.stringify(made)}`)))).toEqual(made);
  });
  it("finds nothing in other files", () => {
    expect(provenanceOf(png("tEXt", utf8("parameters\0a cat")))).toBeNull();
    expect(provenanceOf(png("tEXt", utf8("stable-core\0no json")))).toBeNull();
    expect(provenanceOf(new ArrayBuffer(3))).toBeNull();
  });
});
