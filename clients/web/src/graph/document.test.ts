import { describe, expect, it } from "vitest";

import { type GraphDocument, fits, freshKey, fromDocument, fromJobs, toDocument, upTo } from "./document";

const document: GraphDocument = {
  version: 1,
  jobs: {
    base: { job: "sd.txt2img", inputs: { prompt: "a red circle" }, params: { seed: 7 } },
    big: { job: "image.resize", inputs: { image: { job: "base", output: "image" } }, params: { width: 512 } },
    other: { job: "invert.invert", inputs: { image: { artifact: "0" } }, params: {} },
  },
  ui: { positions: { base: { x: 0, y: 0 }, big: { x: 300, y: 0 }, other: { x: 0, y: 200 } } },
};

describe("graph documents", () => {
  it("come back from the canvas as they were", () => {
    const { nodes, edges } = fromDocument(document);
    expect(toDocument(nodes, edges)).toEqual(document);
  });
  it("without places are laid out from left to right", () => {
    const { nodes } = fromDocument({ ...document, ui: {} });
    expect(nodes.find(({ id }) => id === "big")?.position.x).toBeGreaterThan(0);
  });
  it("can be run up to one job", () => {
    expect(Object.keys(upTo(document, "big").jobs)).toEqual(["base", "big"]);
  });
  it("are refused with what is wrong", () => {
    expect(() => fromDocument({ jobs: {} })).toThrow("version 1");
  });
  it("collect several wires of a port in a list", () => {
    const grid = { job: "image.grid", inputs: { images: [{ job: "base" }, { job: "other" }] }, params: {} };
    const { nodes, edges } = fromDocument({ ...document, jobs: { ...document.jobs, grid } });
    expect(toDocument(nodes, edges).jobs["grid"]?.inputs["images"]).toHaveLength(2);
  });
  it("are found again from the jobs that ran", () => {
    const jobs = [
      { id: "1", key: "base", parent: null, job: "sd.txt2img", inputs: { prompt: "x" }, params: {} },
      { id: "2", key: "big", parent: null, job: "image.resize", inputs: { image: { job: "1" } }, params: {} },
    ] as unknown as Parameters<typeof fromJobs>[0];
    expect(fromJobs(jobs).jobs["big"]?.inputs).toEqual({ image: { job: "base" } });
  });
});

describe("ports", () => {
  it("take what is of their type", () => {
    expect([
      fits("image", "image"),
      fits("text", "image"),
      fits("image", "mask"),
      fits(undefined, "image"),
    ]).toEqual([true, false, true, false]);
  });
});

describe("keys", () => {
  it("are short and unique", () => {
    expect(freshKey("sd.txt2img", new Set())).toBe("txt2img");
    expect(freshKey("sd.txt2img", new Set(["txt2img", "txt2img_2"]))).toBe("txt2img_3");
  });
});
