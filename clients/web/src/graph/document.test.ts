import { describe, expect, it } from "vitest";

import type { Job } from "../api/types";
import { type GraphDocument, fromDocument, fromJobs, toDocument, upTo } from "./document";

const document: GraphDocument = {
  version: 1,
  jobs: {
    base: { job: "sd.txt2img", inputs: { prompt: "a red circle" }, params: { seed: 7 } },
    big: { job: "image.resize", inputs: { image: { job: "base", output: "image" } }, params: { width: 512 } },
    other: { job: "invert.invert", inputs: { image: { artifact: "0" } }, params: {} },
  },
  ui: {
    positions: { base: { x: 0, y: 0 }, big: { x: 300, y: 0 }, other: { x: 0, y: 200 } },
    frames: { frame: { title: "Pictures", x: -20, y: -60, width: 560, height: 500 } },
    folded: ["base"],
  },
};

describe("graph documents", () => {
  it("come back from the canvas as they were", () => {
    const { nodes, edges } = fromDocument(document);
    expect(toDocument(nodes, edges)).toEqual(document);
  });
  it("keep what the canvas does not show", () => {
    const jobs = { base: { ...document.jobs["base"], map: "product", priority: 3 } };
    const { nodes, edges } = fromDocument({ version: 1, jobs });
    expect(toDocument(nodes, edges).jobs["base"]).toEqual(jobs.base);
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
  it("collect several wires of a port in a list, beside what is given there", () => {
    const images = [{ artifact: "0" }, { job: "base" }, { job: "other" }];
    const grid = { job: "image.grid", inputs: { images }, params: {} };
    const { nodes, edges } = fromDocument({ ...document, jobs: { ...document.jobs, grid } });
    expect(edges.filter(({ target }) => target === "grid")).toHaveLength(2);
    expect(toDocument(nodes, edges).jobs["grid"]?.inputs["images"]).toEqual(images);
  });
  it("are found again from the jobs that ran", () => {
    const jobs = [
      { id: "1", key: "base", parent: null, job: "sd.txt2img", inputs: { prompt: "x" }, params: {} },
      { id: "2", key: "big", parent: null, job: "image.resize", inputs: { image: { job: "1" } }, params: {} },
      { id: "3", key: null, parent: "1", job: "sd.txt2img", inputs: { prompt: "x" }, params: {} },
    ] as unknown as Job[];
    expect(Object.keys(fromJobs(jobs).jobs)).toEqual(["base", "big"]);
    expect(fromJobs(jobs).jobs["big"]?.inputs).toEqual({ image: { job: "base" } });
  });
});
