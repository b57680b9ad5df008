import { expect, test } from "vitest";
import { suggested } from "./suggested";

const options = ["Nothing", "Steps", "Hires steps"].map((name) => ({ value: name, label: name }));
const offered = (search: string) =>
  suggested({ options, search, limit: 10 }).map((one) => "value" in one && one.value);

test("a text that is one of them leaves all to choose from", () => {
  expect(offered("Nothing")).toEqual(["Nothing", "Steps", "Hires steps"]);
  expect(offered("Steps")).toHaveLength(3);
});

test("a text that is being typed leaves those that hold it", () => {
  expect(offered("step")).toEqual(["Steps", "Hires steps"]);
  expect(offered("")).toHaveLength(3);
  expect(offered("noise.eta")).toEqual([]);
});
