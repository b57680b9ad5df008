import { describe, expect, it } from "vitest";

import type { GraphDocument } from "./document";
import { refusalOf } from "./refusals";

const document: GraphDocument = { version: 1, jobs: { "big one": { job: "x", inputs: {}, params: {} } } };
const told = (message: string) => refusalOf({ message, hint: "Set it." }, document);

describe("what the server says of a graph", () => {
  it("is shown at the node that it names, without its name", () => {
    expect(told("Job 'big one': width: is too small")).toEqual({
      node: "big one",
      message: "width: is too small",
      hint: "Set it.",
    });
  });
  it("is about no node when it names none, or one that is not there", () => {
    expect(told("a circle: a, b")).toBeNull();
    expect(told("Job 'other': width: is too small")).toBeNull();
  });
});
