import { describe, expect, it } from "vitest";

import { type History, NO_HISTORY, redone, remembered, undone } from "./history";

const after = (states: string[], tags: (string | undefined)[] = []): History<string> =>
  states.reduce<History<string>>(
    (history, state, at) => remembered(history, () => state, tags[at]),
    NO_HISTORY,
  );

describe("the history of the canvas", () => {
  it("goes back and forth", () => {
    const back = undone(after(["a", "b"]), "c");
    expect(back?.state).toBe("b");
    expect(redone(back?.history ?? NO_HISTORY, "b")?.state).toBe("c");
  });
  it("counts changes of one kind, one after the other, as one", () => {
    expect(after(["a", "ab", "abc"], ["text", "text", "text"]).past).toEqual(["a"]);
    expect(after(["a", "ab", "abc"], ["text", "seed", "text"]).past).toEqual(["a", "ab", "abc"]);
  });
  it("ends at both ends", () => {
    expect(undone(NO_HISTORY, "a")).toBeNull();
    expect(redone(after(["a"]), "b")).toBeNull();
  });
  it("forgets what was undone when something else is done", () => {
    const back = undone(after(["a"]), "b");
    expect(remembered(back?.history ?? NO_HISTORY, () => "a").future).toEqual([]);
  });
});
