import { describe, expect, it } from "vitest";

import type { Job } from "../api/types";
import { traced } from "./made";

const job = (id: string, created: number, inputs: object, outputs: object) =>
  ({ id, job: `a.${id}`, created, inputs, params: {}, outputs }) as unknown as Job;
const jobs = new Map(
  [
    job("draw", 1, { prompt: "x" }, { image: [{ id: "p1" }] }),
    job("turn", 2, { image: { artifact: "p1" } }, { image: [{ id: "p2" }] }),
    job("many", 1, {}, { image: [{ id: "m1" }, { id: "m2" }] }),
    job(
      "mix",
      3,
      { images: [{ artifact: "p2" }, { artifact: "m2" }, { artifact: "mine" }] },
      { image: [{ id: "p3" }] },
    ),
    job("later", 9, {}, { image: [{ id: "p1" }] }),
  ].map((one) => [one.id, one]),
);
const fetch = (id: string) => Promise.resolve(jobs.get(id) as Job);
const jobsOf = (artifact: string) =>
  Promise.resolve(
    [...jobs.values()].filter((one) => JSON.stringify(one).includes(`"${artifact}"`)).map(({ id }) => id),
  );

describe("traced", () => {
  it("wires jobs that were sent each other's results", async () => {
    const document = await traced(jobs.get("mix") as Job, fetch, jobsOf);
    expect(Object.keys(document.jobs).sort()).toEqual(["draw", "mix", "turn"]);
    expect(document.jobs["turn"]?.inputs).toEqual({ image: { job: "draw", output: "image" } });
  });
  it("keeps what was uploaded, and one of several results, as they are", async () => {
    const { jobs: made } = await traced(jobs.get("mix") as Job, fetch, jobsOf);
    expect(made["mix"]?.inputs["images"]).toEqual([
      { job: "turn", output: "image" },
      { artifact: "m2" },
      { artifact: "mine" },
    ]);
  });
});
