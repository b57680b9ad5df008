import { describe, expect, it } from "vitest";

import type { LiveJob } from "../api/liveJobs";
import { type Entry, queueOf } from "./groups";

const job = (id: string, state: string, more: object = {}): LiveJob =>
  ({ id, state, parent: null, priority: 0, created: id.charCodeAt(0), ...more }) as unknown as LiveJob;

const shown = (entries: readonly Entry[]) =>
  entries.map(({ job: { id }, parts }) => [id, ...parts.map((part) => part.id)].join(" "));

describe("the queue", () => {
  it("has what runs, what comes next and what waits", () => {
    const { begun, next, waiting } = queueOf([
      job("e", "succeeded"),
      job("d", "waiting", { graph: "g" }),
      job("c", "queued", { priority: 1 }),
      job("b", "queued"),
      job("a", "running"),
    ]);
    expect([shown(begun), shown(next), shown(waiting)]).toEqual([["a"], ["c", "b"], ["d"]]);
  });
  it("shows a job that was split as one, until the first of its parts has begun", () => {
    const parts = [job("p1", "queued", { parent: "p" }), job("p2", "queued", { parent: "p" })];
    expect(shown(queueOf([...parts, job("p", "waiting")]).next)).toEqual(["p p1 p2"]);
    const begun = [job("p1", "succeeded", { parent: "p" }), job("p2", "queued", { parent: "p" })];
    expect(shown(queueOf([job("p", "waiting"), ...begun]).begun)).toEqual(["p p1 p2"]);
  });
  it("finds the job that was started behind parts of parts", () => {
    const jobs = [
      job("p", "waiting"),
      job("q", "waiting", { parent: "p" }),
      job("r", "running", { parent: "q" }),
    ];
    expect(shown(queueOf(jobs).begun)).toEqual(["p q r"]);
  });
});
