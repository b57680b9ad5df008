import { describe, expect, it } from "vitest";

import type { Job } from "../api/types";
import { EVERYTHING, isFound, midnight, queryOf, resultsOf } from "./results";

const job = (id: string, prompt: string, more: object = {}): Job =>
  ({
    id,
    job: "sd.txt2img",
    parent: null,
    created: 1_795_460_149,
    inputs: { prompt },
    params: {},
    outputs: { image: [{ id: `artifact-${id}`, type: "image", media_type: "image/png", size: 1 }] },
    ...more,
  }) as unknown as Job;

describe("results", () => {
  it("are the pictures of jobs; a split job is shown by its parts", () => {
    const jobs = [job("2", "a", { parent: "1" }), job("1", "a")];
    expect(resultsOf(jobs).map(({ key }) => key)).toEqual(["2/image/artifact-2"]);
  });
  it("of a sweep are named by what they differ by, as parts and without them", () => {
    const parent = job("1", "a", { params: { steps: { each: [4, 8] } } });
    const parts = [8, 4].map((steps) => job(String(steps), "a", { parent: "1", params: { steps } }));
    expect(resultsOf([...parts, parent]).map(({ name }) => name)).toEqual(["a, Steps 8", "a, Steps 4"]);
    const [image] = parent.outputs["image"] ?? [];
    if (!image) throw new Error("no image");
    parent.outputs = { image: [image, image] };
    const alone = resultsOf([parent]);
    expect(alone.map(({ label }) => label)).toEqual(["Steps 4", "Steps 8"]);
    expect(alone[1]?.job.params).toEqual({ steps: 8 });
  });
  it("are asked for as they are filtered", () => {
    const query = (filter: object, after = "") =>
      Object.fromEntries(queryOf({ ...EVERYTHING, ...filter }, after).entries());
    const always = { state: "succeeded", limit: "200" };
    expect(query({})).toEqual(always);
    expect(query({ text: " red " }, "abc")).toEqual({ ...always, text: "red", before: "abc" });
    expect(query({ from: "2026-11-25", to: "2026-11-25" })).toEqual({
      ...always,
      since: String(midnight("2026-11-25")),
      until: String(midnight("2026-11-26")),
    });
    const among = Array.from({ length: 250 }, (_, at) => String(at));
    expect(query({ among }, "200")).toEqual({ ...always, ids: among.slice(200).join(",") });
  });
  it("that come while the page is open are held to the same filter", () => {
    const found = (filter: object, one = job("1", "a red circle")) =>
      isFound(one, { ...EVERYTHING, ...filter });
    const day = new Date(1_795_460_149_000).toLocaleDateString("sv");
    expect(found({})).toBe(true);
    expect([found({ text: "Circle red" }), found({ text: "blue" })]).toEqual([true, false]);
    expect([found({ from: day, to: day }), found({ to: "2020-01-01" })]).toEqual([true, false]);
    expect([found({ job: "sd.txt2img" }), found({ job: "sd.img2img" })]).toEqual([true, false]);
    expect([found({ among: ["1"] }), found({ among: [] })]).toEqual([true, false]);
  });
});
