import { describe, expect, it } from "vitest";

import type { Signature } from "../api/types";
import type { GraphDocument } from "./document";
import { timesOf } from "./fanOut";

const port = (name: string, list = false) => ({ name, type: "image", list, optional: false });
const signatures = new Map(
  [
    { name: "draw", inputs: [{ ...port("prompt"), type: "text" }], outputs: [port("image", true)] },
    { name: "turn", inputs: [port("image")], outputs: [port("image")] },
    { name: "sheet", inputs: [port("images", true)], outputs: [port("image")] },
  ].map((signature) => [signature.name, signature as unknown as Signature]),
);
const graph = (params: Record<string, unknown>, extra = {}): GraphDocument => ({
  version: 1,
  jobs: {
    draw: { job: "draw", inputs: { prompt: "x" }, params, ...extra },
    turn: { job: "turn", inputs: { image: { job: "draw" } }, params: {} },
    again: { job: "turn", inputs: { image: { job: "turn" } }, params: { angle: { each: [1, 2, 3] } } },
    sheet: { job: "sheet", inputs: { images: [{ job: "turn" }, { job: "again" }] }, params: {} },
  },
});
const times = (document: GraphDocument, made?: number) =>
  Object.fromEntries(timesOf(document, signatures, (key) => (key === "draw" ? made : undefined)));

describe("timesOf", () => {
  it("counts sweeps, also in groups, and lists that arrive at single ports", () => {
    expect(times(graph({ hires: { scale: { each: [1, 2, 3] } } }), 3)).toEqual({
      draw: 3,
      turn: 3,
      again: 3,
      sheet: 1,
    });
  });
  it("does not know what a job that makes several will make", () => {
    expect(times(graph({}))).toEqual({ draw: 1, turn: null, again: null, sheet: 1 });
  });
  it("multiplies where every combination is wanted", () => {
    const params = { steps: { each: [1, 2] }, seed: { each: [1, 2, 3] } };
    expect(times(graph(params, { map: "product" }))["draw"]).toBe(6);
    expect(times(graph({ ...params, steps: 1 }))["draw"]).toBe(3);
  });
  it("counts texts given as a list", () => {
    const document = graph({});
    document.jobs["draw"] = { job: "draw", inputs: { prompt: ["a", "b"] }, params: {} };
    expect(times(document)["draw"]).toBe(2);
  });
});
