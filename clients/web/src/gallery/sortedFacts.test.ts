import { expect, it } from "vitest";

import type { Job } from "../api/types";
import { factsOf } from "./sortedFacts";

const job = {
  inputs: { prompt: "a red circle", image: { artifact: "x" } },
  params: {
    steps: 20,
    cfg: 7,
    seed: -1,
    styles: [],
    hires: { enabled: true, scale: 2 },
    note: "",
  },
} as unknown as Job;

it("facts begin with the inputs, the seed and what was set; the rest is as always", () => {
  const schema = {
    properties: {
      steps: { default: 20 },
      cfg: { default: 5 },
      seed: { default: -1, "x-ui": { component: "seed" as const } },
      hires: { properties: { enabled: { default: false }, scale: { default: 2 } } },
    },
  };
  expect(factsOf(job, schema)).toEqual({
    inputs: [["prompt", "a red circle"]],
    own: [
      ["seed", "-1"],
      ["cfg", "7"],
      ["hires.enabled", "true"],
    ],
    usual: [
      ["steps", "20"],
      ["hires.scale", "2"],
    ],
  });
});

it("of a job that is gone all facts are shown", () => {
  expect(factsOf(job).usual).toEqual([]);
  expect(factsOf(job).own.map(([name]) => name)).toEqual([
    "steps",
    "cfg",
    "seed",
    "hires.enabled",
    "hires.scale",
  ]);
});
