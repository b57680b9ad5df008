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

  it("believes no answer that is older than what happened while it was on its way", async () => {
    const live = new LiveJobs();
    await live.take(Promise.resolve([job("1", "queued"), job("2", "queued")]));
    const old = live.take(
      new Promise<Job[]>((resolve) =>
        setTimeout(() => resolve([job("1", "queued"), job("2", "queued")]), 50),
      ),
    );
    live.apply(event("1", "job.running"));
    live.apply(event("1", "job.output", { port: "image", artifact: { id: "a" } }));
    live.apply(event("2", "job.priority", { priority: 3 }));
    await vi.advanceTimersByTimeAsync(500);
    await old;
    const [second, first] = live.getSnapshot().jobs;
    expect(first).toMatchObject({ id: "1", state: "running", outputs: { image: [{ id: "a" }] } });
    expect(second).toMatchObject({ id: "2", state: "queued", priority: 3 });
  });

  it("takes nothing twice that an answer knew already", async () => {
    const live = new LiveJobs();
    const made = { port: "image", artifact: { id: "a" } };
    const answer = new Promise<Job>((resolve) =>
      setTimeout(() => resolve({ ...job("1"), outputs: { image: [made.artifact] } } as unknown as Job), 50),
    );
    const taken = live.take(answer);
    live.apply(event("1", "job.output", made));
    await vi.advanceTimersByTimeAsync(500);
    expect((await taken).id).toBe("1");
    expect(live.getSnapshot().jobs[0]?.outputs).toEqual({ image: [{ id: "a" }] });
  });

  it("tries again when what is there cannot be fetched, until it is", async () => {
    const sources: Stream[] = [];
    class Stream {
      static readonly OPEN = 1;
      readyState = 1;
      onopen?: () => void;
      close = vi.fn();
      constructor() {
        sources.push(this);
      }
    }
    vi.stubGlobal("EventSource", Stream);
    const live = new LiveJobs();
    const connection = async () => {
      await vi.advanceTimersByTimeAsync(500);
      return live.getSnapshot().connection;
    };
    vi.stubGlobal("fetch", () => Promise.reject(new Error("no answer")));
    live.start();
    sources[0]?.onopen?.();
    expect(await connection()).toBe("lost");
    expect(sources[0]?.close).toHaveBeenCalled();
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("[]")));
    await vi.advanceTimersByTimeAsync(1000);
    expect(sources).toHaveLength(2);
    sources[1]?.onopen?.();
    expect(await connection()).toBe("live");
  });

  it("tells at most ten times a second, at once when it was quiet", async () => {
    const live = new LiveJobs();
    const listener = vi.fn();
    live.subscribe(listener);
    void live.take(Promise.resolve(job("1")));
    await vi.advanceTimersByTimeAsync(20);
    expect(listener).toHaveBeenCalledTimes(1);
    for (let step = 0; step < 100; step++) {
      live.apply(event("1", "job.progress", { step, total: 100 }));
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(listener.mock.calls.length).toBeLessThanOrEqual(11);
    expect(listener.mock.calls.length).toBeGreaterThan(5);
  });

  it("gives the same jobs as long as none of those that are asked for has changed", async () => {
    const live = new LiveJobs();
    await live.take(Promise.resolve([job("1"), job("2")]));
    const choose = live.chooser(["1"]);
    const before = choose();
    live.apply(event("2", "job.progress", { step: 1 }));
    expect(choose()).toBe(before);
    live.apply(event("1", "job.progress", { step: 1 }));
    expect(choose()).not.toBe(before);
  });
});
