import { describe, expect, it } from "vitest";

import type { Job } from "../api/types";
import { differenceOf, variationsOf } from "./variations";

const given = (params: object, inputs: object = { prompt: "a" }) => ({ params, inputs }) as unknown as Job;
const labels = (job: Job, made: number) => variationsOf(job, made).map(({ label }) => label);

describe("the runs of a job that was split", () => {
  const steps = given({ steps: { each: [20, 4, 8] }, seed: 3 });

  it("are named by the knob and value that is their own, and know with what they ran", () => {
    expect(labels(steps, 3)).toEqual(["Steps 20", "Steps 4", "Steps 8"]);
    expect(variationsOf(steps, 3)[1]).toMatchObject({
      params: { steps: 4, seed: 3 },
      inputs: { prompt: "a" },
    });
  });
  it("may make several results each", () => {
    expect(labels(steps, 6)).toEqual(["Steps 20", "Steps 4", "Steps 8"]);
    expect(labels(steps, 4)).toEqual([]);
    expect(labels(given({ steps: 20 }), 4)).toEqual([]);
  });
  it("are paired or combined, as their number says; where it could be either, nothing is said", () => {
    const both = given({ hires: { scale: { each: [1, 2] } }, mode: { each: ["calm", "wild"] } });
    expect(labels(both, 2)).toEqual(["Hires scale 1 · Mode calm", "Hires scale 2 · Mode wild"]);
    const all = ["1 · Mode calm", "1 · Mode wild", "2 · Mode calm", "2 · Mode wild"];
    expect(labels(both, 4)).toEqual(all.map((one) => `Hires scale ${one}`));
    expect(labels(both, 8)).toEqual([]);
  });
  it("are named by their texts, and by the places of their pictures", () => {
    expect(labels(given({}, { prompt: ["red", "blue"] }), 2)).toEqual(["Prompt red", "Prompt blue"]);
    const pictures = { each: [{ artifact: "x" }, { artifact: "y" }] };
    expect(labels(given({}, { image: pictures }), 2)).toEqual(["Image 1", "Image 2"]);
  });
  it("are named as parts too, also where they were split again", () => {
    const known = new Map<string, Job>();
    const add = (id: string, job: string, parent: string | null, params: object) => {
      const made = { id, job, parent, inputs: {}, params } as unknown as Job;
      known.set(id, made);
      return made;
    };
    add("1", "p.make", null, { steps: { each: [4, 8] } });
    add("2", "p.make", "1", { steps: 8 });
    const part = add("3", "p.draw", "2", { size: 64 });
    const find = (id: string) => known.get(id);
    expect(differenceOf(part, find)).toBe("Steps 8");
    known.delete("1");
    expect(differenceOf(part, find)).toBe("");
  });
});
