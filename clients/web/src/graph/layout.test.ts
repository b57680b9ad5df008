import { describe, expect, it } from "vitest";

import { type CanvasNode, wire } from "./document";
import { laidOut } from "./layout";

const node = (id: string, height: number): CanvasNode => ({
  id,
  type: "job",
  position: { x: 7, y: 7 },
  measured: { width: 300, height },
  data: { job: "x", inputs: {}, params: {} },
});
const nodes = [node("base", 600), node("other", 200), node("big", 250), node("inverse", 150)];
const edges = [wire("base", "image", "big", "image"), wire("big", "image", "inverse", "image")];
const placesOf = (way?: Parameters<typeof laidOut>[2]) =>
  Object.fromEntries(laidOut(nodes, edges, way).map(({ id, position: { x, y } }) => [id, [x, y]]));

describe("the layout", () => {
  it("goes from left to right, with room for nodes of any height", () => {
    expect(placesOf()).toEqual({ base: [0, 0], other: [0, 640], big: [380, 0], inverse: [760, 0] });
  });
  it("goes down where the page is narrow", () => {
    const places = placesOf({ isNarrow: true, growthOf: () => 0 });
    expect(places).toEqual({ base: [0, 0], other: [340, 0], big: [0, 660], inverse: [0, 970] });
  });
  it("leaves room for what nodes will show when they have run", () => {
    const growthOf = (id: string) => (id === "base" ? 130 : 0);
    expect(placesOf({ isNarrow: false, growthOf })["other"]).toEqual([0, 770]);
    expect(placesOf({ isNarrow: true, growthOf })["big"]).toEqual([0, 790]);
  });
});
