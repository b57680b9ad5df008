import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { LiveJobs } from "./liveJobs";
import type { Job, ServerEvent } from "./types";

const job = (id: string, state: Job["state"] = "running") =>
  ({ id, job: "a.b", state, inputs: {}, params: {}, outputs: {}, created: 1, attempt: 1 }) as unknown as Job;
const event = (id: string, type: string, data: object = {}) =>
  ({ job: id, type, time: 2, data }) as ServerEvent;

describe("LiveJobs", () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "requestAnimationFrame", "performance"] }));
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("fetches many unknown jobs at once and loses nothing that happens meanwhile", async () => {
    const asked: string[] = [];
    const live = new LiveJobs();
    vi.stubGlobal("fetch", (path: string) => {
      asked.push(path);
      live.apply(event("1", "job.succeeded", { outputs: {} }));
      return Promise.resolve(new Response(JSON.stringify([job("1"), job("2")])));
    });
    live.apply(event("1", "job.running"));
    live.apply(event("2", "job.running"));
    await vi.advanceTimersByTimeAsync(500);
    expect(asked).toEqual(["/v1/jobs?limit=100&ids=1,2"]);
    const states = live.getSnapshot().jobs.map(({ id, state }): [string, string] => [id, state]);
    expect(Object.fromEntries(states)).toEqual({ 1: "succeeded", 2: "running" });
  });

  it("tells at most ten times a second, at once when it was quiet", async () => {
    const live = new LiveJobs();
    const listener = vi.fn();
    live.subscribe(listener);
    live.add(job("1"));
    await vi.advanceTimersByTimeAsync(20);
    expect(listener).toHaveBeenCalledTimes(1);
    for (let step = 0; step < 100; step++) {
      live.apply(event("1", "job.progress", { step, total: 100 }));
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(listener.mock.calls.length).toBeLessThanOrEqual(11);
    expect(listener.mock.calls.length).toBeGreaterThan(5);
  });

  it("gives the same jobs as long as none of those that are asked for has changed", () => {
    const live = new LiveJobs();
    live.add(job("1"));
    live.add(job("2"));
    const choose = live.chooser(["1"]);
    const before = choose();
    live.apply(event("2", "job.progress", { step: 1 }));
    expect(choose()).toBe(before);
    live.apply(event("1", "job.progress", { step: 1 }));
    expect(choose()).not.toBe(before);
  });
});
