import { afterEach, describe, expect, it, vi } from "vitest";

import type { Signature } from "../api/types";
import { requestOf, restored, restorerOf } from "./restoring";

const signature = (name: string, params: object, inputs = 1): Signature =>
  ({
    name,
    params,
    inputs: Array.from({ length: inputs }, () => ({ name: "file" })),
  }) as unknown as Signature;

describe("restoring", () => {
  afterEach(() => vi.unstubAllGlobals());
  it("is done by the job that is announced for it, whatever it is called", () => {
    const found = restorerOf([signature("a.b", {}), signature("c.d", { "x-restores": true })]);
    expect(found?.name).toBe("c.d");
    expect(restorerOf([signature("a.b", { "x-restores": true }, 2)])).toBeUndefined();
  });
  it("takes a request and what is said about it", () => {
    const answer = { job: "p.j", inputs: { prompt: "a cat" }, params: { seed: 1 }, notes: ["No model."] };
    expect(requestOf(answer)).toEqual(answer);
    expect(requestOf({ job: "p.j", inputs: { prompt: "a cat" } })).toEqual({
      job: "p.j",
      inputs: { prompt: "a cat" },
      params: {},
      notes: [],
    });
  });
  it("waits for the job that reads the file, however long it takes", async () => {
    const answer = { job: "p.j", inputs: { prompt: "a cat" }, params: {}, notes: [] };
    const job = (state: string) => ({ id: "1", state, outputs: {} });
    const answers = [
      { id: "artifact" },
      job("queued"),
      job("running"),
      { ...job("succeeded"), outputs: { data: [{ value: answer }] } },
    ];
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify(answers.shift()))));
    const file = new File(["no picture"], "cat.txt");
    expect(await restored(file, [signature("c.d", { "x-restores": true })])).toEqual(answer);
  });
  it("finds nothing in an empty answer", () => {
    expect(
      requestOf({ job: "p.j", inputs: { prompt: "" }, params: {}, notes: ["Nothing in it."] }),
    ).toBeNull();
    expect(requestOf("text")).toBeNull();
  });
});
