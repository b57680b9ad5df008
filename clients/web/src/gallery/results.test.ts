import { describe, expect, it } from "vitest";

import type { Job } from "../api/types";
import { dayOf, filtered, resultsOf } from "./results";

const job = (id: string, prompt: string, more: Partial<Job> = {}): Job =>
  ({
    id,
    job: "sd.txt2img",
    parent: null,
    created: 1_795_460_149,
    inputs: { prompt },
    outputs: { image: [{ id: `artifact-${id}`, type: "image", media_type: "image/png", size: 1 }] },
    ...more,
  }) as unknown as Job;

describe("results", () => {
  it("are the pictures of jobs; a split job is shown by its parts", () => {
    const jobs = [job("2", "a", { parent: "1" }), job("1", "a")];
    expect(resultsOf(jobs).map(({ key }) => key)).toEqual(["2/image/0"]);
  });
  it("are found by every word, day and favourite", () => {
    const results = resultsOf([job("1", "a red circle"), job("2", "a blue circle")]);
    const none = { text: "", day: "", favourites: null };
    const keys = (filter: object) => filtered(results, { ...none, ...filter }).map((result) => result.job.id);
    expect(keys({ text: "Circle red" })).toEqual(["1"]);
    expect(keys({ day: dayOf({ created: 1_795_460_149 }) })).toEqual(["1", "2"]);
    expect(keys({ day: "2020-01-01" })).toEqual([]);
    expect(keys({ favourites: new Set(["artifact-2"]) })).toEqual(["2"]);
  });
});
